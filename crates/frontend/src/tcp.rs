//! TCP mode: one connection to one server, bytes both ways. Shares all but the rules and the pool with HTTP.

use crate::attempt::Attempts;
use crate::clock;
use crate::conn::Conn;
use crate::finish::Tally;
use crate::relay::{Half, Limits, Relay};

/// Serves a connection to its end.
pub(crate) async fn serve(mut conn: Conn) {
    let worker = conn.admission.worker.clone();
    let local = conn.admission.listening.local(&worker);
    let Some(at) = conn.admission.listening.entrance(&local.snapshot) else { return };
    let entrance = local.snapshot.frontends[at].clone();
    let mut tally = Tally::new(conn.accepted);
    let group_at = entrance.default;
    let reached = match group_at {
        Some(at) => {
            tally.enter_backend(&local.snapshot.groups[at], worker.id);
            tally.times.queue = 0;
            Attempts::new(&local, at).next(&mut conn, &mut tally, false).await
        }
        None => Err(entrance.unrouted(false)),
    };
    let group = group_at.map(|at| local.snapshot.groups[at].clone());
    // From here on only the server and its own settings are held, not the configuration.
    drop(local);
    conn.served = None;
    match (reached, &group) {
        (Ok(up), Some(group)) => {
            let (client, server) = (entrance.conf.timeout, group.conf.timeout);
            let limits = Limits::new(&client, &server);
            let relay = Relay::new(Half::default(), Half::default(), limits);
            let (end, sent, received) = relay.run(&mut conn, &up.stream, up.server()).await;
            tally.bytes_in = sent;
            tally.bytes_up = sent;
            tally.bytes_out = received;
            tally.end = end;
            tally.blame(group, &up, worker.id);
        }
        (Err(end), _) => tally.end = end,
        (Ok(_), None) => unreachable!("a server is reached through a group"),
    }
    tally.count(&worker, &entrance, group.as_ref());
    let empty = tally.bytes_in == 0 && entrance.conf.option.dontlognull;
    if !empty {
        tally.log(&conn, &entrance, group.as_ref(), None);
    }
    // A kept clock reading would be old by the length of the connection.
    clock::stale();
}
