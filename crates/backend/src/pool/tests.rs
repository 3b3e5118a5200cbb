//! Pools over real sockets on loopback; every state of a socket is awaited, none is waited for.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::future::poll_fn;
use std::io::ErrorKind;

use fastrand::Rng;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::server::{BackendState, Indexes};

fn server(indexes: &Arc<Indexes>) -> Arc<Server> {
    let state = Arc::new(BackendState::new("b".into(), 2));
    Arc::new(Server::new(state, "s".into(), indexes.clone(), 2))
}

fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// An origin that gives out connections, each with its far end.
struct Origin(TcpListener);

impl Origin {
    async fn new() -> Origin {
        Origin(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    async fn connect(&self) -> (Stream, TcpStream) {
        let (near, far) = tokio::join!(TcpStream::connect(self.0.local_addr().unwrap()), self.0.accept());
        (Stream::from(near.unwrap()), far.unwrap().0)
    }
}

fn idle(stream: Stream, server: &Server) -> Idle {
    Idle { stream, reused: false, name: None, to: None, tls: None, epoch: server.epoch() }
}

async fn readable(stream: &Stream) {
    poll_fn(|cx| stream.poll_readable(cx)).await.unwrap();
}

fn port(idle: &Idle) -> u16 {
    idle.stream.local_addr().unwrap().port()
}

fn level(server: &Server) -> Vec<u32> {
    server.idle.iter().map(|l| l.get()).collect()
}

#[test]
fn last_in_first_out_and_the_level_follows() {
    run(async {
        let (origin, server, pools) = (Origin::new().await, server(&Arc::default()), Pools::new(1));
        let mut ports = Vec::new();
        let mut far = Vec::new();
        for n in 1..=4 {
            let (near, end) = origin.connect().await;
            far.push(end);
            ports.push(near.local_addr().unwrap().port());
            pools.put(&server, idle(near, &server), None);
            assert_eq!(level(&server), [0, n]);
        }
        while let Some(expected) = ports.pop() {
            assert_eq!(port(&pools.take(&server, false, Aim::default()).unwrap()), expected);
            assert_eq!(level(&server), [0, ports.len() as u32]);
        }
        assert!(pools.take(&server, false, Aim::default()).is_none());
    });
}

#[test]
fn what_the_server_closed_or_spoke_on_is_not_given_out() {
    run(async {
        let (origin, server, pools) = (Origin::new().await, server(&Arc::default()), Pools::new(0));
        let (closed, end) = origin.connect().await;
        drop(end);
        readable(&closed).await;
        let (spoken, mut end) = origin.connect().await;
        end.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
        readable(&spoken).await;
        let (good, _end) = origin.connect().await;
        let expected = good.local_addr().unwrap().port();
        for stream in [good, closed, spoken] {
            pools.put(&server, idle(stream, &server), None);
        }
        assert_eq!(port(&pools.take(&server, false, Aim::default()).unwrap()), expected);
        assert_eq!(level(&server), [0, 0]);
    });
}

#[test]
fn a_connection_whose_last_read_filled_the_buffer_is_good() {
    run(async {
        let (origin, server, pools) = (Origin::new().await, server(&Arc::default()), Pools::new(0));
        let (near, mut end) = origin.connect().await;
        end.write_all(&[b'x'; 100]).await.unwrap();
        let mut left = [0; 100];
        let mut got = 0;
        while got < left.len() {
            readable(&near).await;
            match near.try_read(&mut left[got..]) {
                Ok(n) => got += n,
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
        }
        pools.put(&server, idle(near, &server), None);
        assert!(pools.take(&server, false, Aim::default()).is_some(), "nothing is left to read on it");
    });
}

#[test]
fn a_new_epoch_retires_what_was_connected_before() {
    run(async {
        let (origin, server, pools) = (Origin::new().await, server(&Arc::default()), Pools::new(0));
        let (pooled, _a) = origin.connect().await;
        let (late, _b) = origin.connect().await;
        let (pooled, late) = (idle(pooled, &server), idle(late, &server));
        pools.put(&server, pooled, None);
        server.next_epoch();
        assert!(pools.take(&server, false, Aim::default()).is_none());
        pools.put(&server, late, None);
        assert_eq!(level(&server), [0, 0], "one that comes back late is not kept");
        let (new, _c) = origin.connect().await;
        pools.put(&server, idle(new, &server), None);
        assert!(pools.take(&server, false, Aim::default()).is_some());
    });
}

#[test]
fn a_cut_server_keeps_nothing() {
    run(async {
        let (origin, server, pools) = (Origin::new().await, server(&Arc::default()), Pools::new(0));
        let (pooled, _a) = origin.connect().await;
        let (late, _b) = origin.connect().await;
        pools.put(&server, idle(pooled, &server), None);
        server.cut();
        pools.put(&server, idle(late, &server), None);
        assert_eq!(level(&server), [1, 0]);
        pools.purge();
        assert_eq!(level(&server), [0, 0]);
    });
}

#[test]
fn only_what_was_reused_before_serves_a_first_request_under_aggressive() {
    run(async {
        let (origin, server, pools) = (Origin::new().await, server(&Arc::default()), Pools::new(0));
        let mut far = Vec::new();
        let mut ports = Vec::new();
        for reused in [true, false, true, false] {
            let (near, end) = origin.connect().await;
            far.push(end);
            ports.push(near.local_addr().unwrap().port());
            pools.put(&server, Idle { reused, ..idle(near, &server) }, None);
        }
        assert_eq!(port(&pools.take(&server, true, Aim::default()).unwrap()), ports[2]);
        assert_eq!(port(&pools.take(&server, true, Aim::default()).unwrap()), ports[0]);
        assert!(pools.take(&server, true, Aim::default()).is_none());
        assert_eq!(level(&server), [2, 0]);
    });
}

#[test]
fn the_limit_is_over_all_workers() {
    run(async {
        let (origin, server) = (Origin::new().await, server(&Arc::default()));
        let workers = [Pools::new(0), Pools::new(1)];
        let mut far = Vec::new();
        for n in 0..6 {
            let (near, end) = origin.connect().await;
            far.push(end);
            workers[n % 2].put(&server, idle(near, &server), Some(3));
        }
        assert_eq!(level(&server), [2, 1]);
        let (near, _end) = origin.connect().await;
        workers[1].put(&server, idle(near, &server), Some(0));
        assert_eq!(level(&server), [2, 1], "a limit of none keeps none");
        workers.iter().for_each(Pools::clear);
        assert_eq!(level(&server), [0, 0]);
    });
}

/// The purge rule against a plain count: a purge closes half, rounded up, of what lay idle all the time since the last one,
/// the oldest first.
#[test]
fn a_purge_closes_half_of_what_was_not_needed() {
    run(async {
        let origin = Origin::new().await;
        for seed in 0..20 {
            let mut rng = Rng::with_seed(seed);
            let (server, pools) = (server(&Arc::default()), Pools::new(0));
            let mut far = HashMap::new();
            let mut model: Vec<u16> = Vec::new();
            let mut unneeded = 0;
            for step in 0..60 {
                match rng.u32(0..9) {
                    0..4 => {
                        let (near, end) = origin.connect().await;
                        let number = near.local_addr().unwrap().port();
                        far.insert(number, end);
                        model.push(number);
                        pools.put(&server, idle(near, &server), None);
                    }
                    4..7 => {
                        let got = pools.take(&server, false, Aim::default()).map(|i| port(&i));
                        assert_eq!(got, model.pop(), "seed {seed} step {step}");
                        unneeded = unneeded.min(model.len());
                    }
                    _ => {
                        pools.purge();
                        model.drain(..unneeded.div_ceil(2));
                        unneeded = model.len();
                    }
                }
                assert_eq!(level(&server), [model.len() as u32, 0], "seed {seed} step {step}");
            }
        }
    });
}

#[test]
fn purges_empty_a_pool_that_nobody_uses() {
    run(async {
        let (origin, server, pools) = (Origin::new().await, server(&Arc::default()), Pools::new(0));
        let mut far = Vec::new();
        for _ in 0..5 {
            let (near, end) = origin.connect().await;
            far.push(end);
            pools.put(&server, idle(near, &server), None);
        }
        let mut levels = Vec::new();
        for _ in 0..5 {
            pools.purge();
            levels.push(level(&server)[0]);
        }
        assert_eq!(levels, [5, 2, 1, 0, 0]);
        assert_eq!(Arc::strong_count(&server), 1, "an empty pool holds no server");
    });
}

#[test]
fn an_index_is_given_out_again_only_when_no_pool_holds_its_server() {
    run(async {
        let (origin, indexes, pools) = (Origin::new().await, Arc::default(), Pools::new(0));
        let old = server(&indexes);
        let (near, _a) = origin.connect().await;
        pools.put(&old, idle(near, &old), None);
        let index = old.index;
        old.cut();
        drop(old);
        let other = server(&indexes);
        assert_ne!(other.index, index, "its connections still lie in the pool");
        assert!(pools.take(&other, false, Aim::default()).is_none());
        pools.purge();
        let new = server(&indexes);
        assert_eq!(new.index, index);
        assert!(pools.take(&new, false, Aim::default()).is_none());
        let (near, _b) = origin.connect().await;
        let expected = near.local_addr().unwrap().port();
        pools.put(&new, idle(near, &new), None);
        assert_eq!(port(&pools.take(&new, false, Aim::default()).unwrap()), expected);
    });
}
