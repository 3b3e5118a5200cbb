//! Asks the name servers of a section: all at once, the first valid answer wins.
//!
//! Runs on the control thread, one task a question. Each wait is bounded by `timeout.retry`, and there are `resolve-retries`
//! of them for each kind of address. A question has a socket of its own for each name server, so that its port says as
//! little as its id about the next one (RFC 5452 §4).

use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;

use evenkeel_acl::Prefer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use crate::message::{Heard, Kind, Question};
use crate::nameserver::Nameserver;
use crate::section::Section;
use crate::{Addresses, Failure};

/// The addresses of `name`: of the preferred kind, else of the other one. No answer at all is not asked again for the other.
pub(crate) async fn resolve(section: &Section, name: &str, prefer: Prefer) -> Result<Addresses, Failure> {
    let kinds = match prefer {
        Prefer::V4 => [Kind::A, Kind::Aaaa],
        Prefer::V6 => [Kind::Aaaa, Kind::A],
    };
    match of_kind(section, name, kinds[0]).await {
        Ok(addresses) => Ok(addresses),
        Err(Failure::Timeout) => Err(Failure::Timeout),
        Err(_) => of_kind(section, name, kinds[1]).await,
    }
}

async fn of_kind(section: &Section, name: &str, kind: Kind) -> Result<Addresses, Failure> {
    let mut talks = Vec::with_capacity(section.nameservers.len());
    for nameserver in &section.nameservers {
        let id = random().ok_or(Failure::Other)?;
        let question = Question::new(id, name, kind, section.conf.payload).ok_or(Failure::Other)?;
        talks.push(Talk::new(nameserver, question, section.conf.payload));
    }
    for _ in 0..section.conf.retries {
        let deadline = Instant::now() + section.conf.retry;
        if let Ok(done) = timeout_at(deadline, round(&mut talks)).await {
            return done;
        }
        talks.iter_mut().for_each(Talk::close_round);
        if let Some(failure) = talks.iter().filter_map(|talk| talk.said).reduce(worse) {
            return Err(failure);
        }
    }
    Err(Failure::Timeout)
}

type Hearing<'t> = Pin<Box<dyn Future<Output = Result<Addresses, Failure>> + 't>>;

/// Asks every name server that has said nothing yet; over when one has the answer or all have said something.
async fn round(talks: &mut [Talk<'_>]) -> Result<Addresses, Failure> {
    let mut said: Option<Failure> = None;
    let mut open: Vec<Hearing<'_>> = talks.iter_mut().map(|talk| Box::pin(talk.hear()) as Hearing<'_>).collect();
    poll_fn(|cx| {
        let mut at = 0;
        while at < open.len() {
            match open[at].as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(addresses)) => return Poll::Ready(Ok(addresses)),
                Poll::Ready(Err(failure)) => {
                    drop(open.swap_remove(at));
                    said = said.map(|before| worse(before, failure)).or(Some(failure));
                }
            }
        }
        match (open.is_empty(), said) {
            (true, Some(failure)) => Poll::Ready(Err(failure)),
            _ => Poll::Pending,
        }
    })
    .await
}

/// What several name servers that failed come to: one that knows the name does not exist knows best.
fn worse(one: Failure, other: Failure) -> Failure {
    let rank = |failure| match failure {
        Failure::Nx => 0,
        Failure::Refused => 1,
        Failure::Other => 2,
        Failure::Timeout => 3,
    };
    if rank(other) < rank(one) { other } else { one }
}

/// A conversation with one name server about one question.
#[derive(Debug)]
struct Talk<'n> {
    nameserver: &'n Nameserver,
    question: Question,
    payload: u16,
    /// Kept over repetitions: a late answer to the first is an answer.
    socket: Option<UdpSocket>,
    /// What it said, when that is no address.
    said: Option<Failure>,
    /// Why it says nothing, where that is known.
    trouble: Option<String>,
    /// It said something that cannot be read.
    malformed: bool,
}

impl<'n> Talk<'n> {
    fn new(nameserver: &'n Nameserver, question: Question, payload: u16) -> Talk<'n> {
        Talk { nameserver, question, payload, socket: None, said: None, trouble: None, malformed: false }
    }

    /// The time of a round is over: what was not said by now counts as silence.
    fn close_round(&mut self) {
        match self.said {
            Some(_) => {}
            None if self.malformed => {
                self.nameserver.answered(Some(Failure::Other));
                self.said = Some(Failure::Other);
            }
            None => self.nameserver.was_silent(self.trouble.as_deref()),
        }
    }

    /// Asks and waits for the answer; for ever when there is none, since who calls has the time.
    async fn hear(&mut self) -> Result<Addresses, Failure> {
        if let Some(failure) = self.said {
            return Err(failure);
        }
        self.nameserver.asked();
        let heard = match self.nameserver.conf.tcp {
            true => self.over_tcp().await,
            false => self.over_udp().await,
        };
        match heard {
            Ok(answer) => {
                self.nameserver.answered(answer.as_ref().err().copied());
                self.said = answer.as_ref().err().copied();
                answer
            }
            Err(error) => {
                // The time is not over: it may be about to come back, and is asked again then.
                self.trouble = Some(error.to_string());
                std::future::pending().await
            }
        }
    }

    async fn over_udp(&mut self) -> io::Result<Result<Addresses, Failure>> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => udp(self.nameserver.conf.address).await?,
        };
        let socket = self.socket.insert(socket);
        socket.send(&self.question.bytes).await?;
        let mut buffer = vec![0; usize::from(self.payload)];
        loop {
            let n = socket.recv(&mut buffer).await?;
            match self.question.hear(&buffer[..n]) {
                Heard::Answer(answer) => return Ok(answer),
                Heard::Truncated => return self.over_tcp().await,
                // It may be forged, so that the true one would not be heard.
                Heard::Malformed => self.malformed = true,
                Heard::Stray => {}
            }
        }
    }

    async fn over_tcp(&self) -> io::Result<Result<Addresses, Failure>> {
        let mut stream = TcpStream::connect(self.nameserver.conf.address).await?;
        // RFC 1035 §4.2.2: the length stands before the message.
        let question = &self.question.bytes;
        let mut framed = Vec::with_capacity(question.len() + 2);
        framed.extend_from_slice(&u16::try_from(question.len()).map_err(io::Error::other)?.to_be_bytes());
        framed.extend_from_slice(question);
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        match self.question.hear(&answer) {
            Heard::Answer(answer) => Ok(answer),
            Heard::Truncated | Heard::Malformed | Heard::Stray => Ok(Err(Failure::Other)),
        }
    }
}

/// A socket that hears only `to`, on a port of the kernel's choice.
async fn udp(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match to {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?,
    };
    socket.connect(to).await?;
    Ok(socket)
}

/// An id that nobody can guess.
fn random() -> Option<u16> {
    let mut bytes = [0; 2];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(u16::from_be_bytes(bytes))
}
