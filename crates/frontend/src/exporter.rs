//! `use-service prometheus-exporter`: the metrics, asked of who renders them and sent as an answer of our own.
//!
//! Workers cannot render: numbers are gathered on the control thread, which opens the [`Exporter`] and answers one [`Scrape`]
//! after the other. Called by judge. Never: a worker that waits for it, a queue without end, an answer that is not waited for.

use std::sync::OnceLock;
use std::time::Duration;

use evenkeel_acl::Reply;
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::conn::Conn;
use crate::end::End;
use crate::reply::Answer;
use crate::timer::within;
use crate::txn::{Course, Next, Txn};

/// Requests for metrics that may wait for their turn.
pub const WAITING: usize = 8;

/// How long one may take, its wait included.
const PATIENCE: Duration = Duration::from_secs(10);

/// What stands in log lines in place of a server, as in HAProxy.
const NAME: &str = "<PROMEX>";

/// Where workers ask for metrics.
#[derive(Debug, Default)]
pub struct Exporter(OnceLock<mpsc::Sender<Scrape>>);

/// Somebody asks for metrics.
#[derive(Debug)]
pub struct Scrape {
    /// The query of the request, without its question mark.
    pub query: String,
    answer: oneshot::Sender<String>,
}

impl Scrape {
    /// Whether nobody waits for it any more.
    pub fn is_given_up(&self) -> bool {
        self.answer.is_closed()
    }

    /// Hands over the text.
    pub fn answer(self, text: String) {
        // Who asked may have gone meanwhile.
        let _ = self.answer.send(text);
    }
}

impl Exporter {
    /// Lets workers ask from now on; `None` when somebody answers them already.
    pub fn open(&self) -> Option<mpsc::Receiver<Scrape>> {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.0.set(sender).is_ok().then_some(receiver)
    }

    /// Asks; `None` when too many wait, or nobody answers.
    fn ask(&self, query: String) -> Option<oneshot::Receiver<String>> {
        let (answer, receiver) = oneshot::channel();
        self.0.get()?.try_send(Scrape { query, answer }).ok()?;
        Some(receiver)
    }
}

impl Course<'_> {
    /// Answers with the metrics.
    pub(crate) async fn export(&mut self, conn: &mut Conn, txn: &mut Txn, reply: Reply<'_>) -> Next {
        let worker = conn.admission.worker.clone();
        let target = txn.req.target();
        let query = memchr::memchr(b'?', target).map_or(&b""[..], |at| &target[at + 1..]);
        let asked = worker.process.exporter.ask(String::from_utf8_lossy(query).into_owned());
        let text = match asked {
            Some(answer) => {
                within(&mut conn.timer, clock::now(), Some(PATIENCE), answer).await.ok().and_then(Result::ok)
            }
            None => None,
        };
        self.tally.service = Some(NAME);
        let Some(text) = text else { return self.fail(conn, txn, End::ExporterBusy).await };
        self.entrance.state.sheet.shard(worker.id).intercepted.inc();
        self.tally.end = End::Answered;
        let keeps = self.client_may_stay(conn, txn) && txn.req.framing() == evenkeel_proto::Framing::Empty;
        let message = Answer { body: Some(text.as_bytes()), ..Answer::of(&reply) };
        self.answer(conn, txn, message, keeps).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_more_wait_than_may() {
        let exporter = Exporter::default();
        assert!(exporter.ask(String::new()).is_none(), "nobody answers yet");
        let mut scrapes = exporter.open().unwrap();
        assert!(exporter.open().is_none());
        let mut waiting: Vec<_> = (0..WAITING).map(|n| exporter.ask(format!("n={n}")).unwrap()).collect();
        assert!(exporter.ask(String::new()).is_none());
        let first = scrapes.try_recv().unwrap();
        assert_eq!((first.query.as_str(), first.is_given_up()), ("n=0", false));
        first.answer("text".to_owned());
        assert_eq!(waiting[0].try_recv().unwrap(), "text");
        assert!(exporter.ask(String::new()).is_some(), "a place is free again");
        waiting.remove(1);
        assert!(scrapes.try_recv().unwrap().is_given_up());
    }
}
