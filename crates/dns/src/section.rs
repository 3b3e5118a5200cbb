//! The sections of a configuration, who asks them, and the desk on the control thread where questions are worked on.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use evenkeel_acl::Prefer;
use evenkeel_config as config;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::cache::{Cache, Look};
use crate::client;
use crate::nameserver::Nameserver;
use crate::{Addresses, Failure};

/// The sections of one configuration, as in the file.
#[derive(Clone, Debug)]
pub struct Resolvers {
    sections: Arc<[Arc<Section>]>,
    desk: mpsc::UnboundedSender<Job>,
}

/// One section: what is known of names, and whom to ask. It survives reloads that do not change it.
#[derive(Debug)]
pub struct Section {
    /// Settings.
    pub conf: Arc<config::Resolvers>,
    /// Its name servers.
    pub nameservers: Vec<Nameserver>,
    cache: Mutex<Cache<Coming>>,
    hits: AtomicU64,
    questions: AtomicU64,
    full: AtomicU64,
    desk: mpsc::UnboundedSender<Job>,
}

/// What [`Section::ask`] came to.
#[derive(Debug)]
pub enum Asked {
    /// The address is known, or known not to be had.
    Known(Option<IpAddr>),
    /// It is being asked for.
    Coming(Coming),
}

/// An answer on its way; dropping it gives up the wait and nothing else.
#[derive(Clone, Debug)]
pub struct Coming(watch::Receiver<Option<Option<Addresses>>>);

impl Coming {
    /// The address, once it is known or known not to be had: at the latest when the name servers had all their time.
    pub async fn answer(mut self) -> Option<IpAddr> {
        let answer = self.0.wait_for(Option::is_some).await.ok()?;
        answer.as_ref()?.as_ref()?.first().copied()
    }
}

/// A question for the name servers.
#[derive(Debug)]
struct Job {
    section: Arc<Section>,
    name: Box<str>,
    prefer: Prefer,
    done: watch::Sender<Option<Option<Addresses>>>,
}

/// Where questions of the workers arrive.
#[derive(Debug)]
pub struct Desk(mpsc::UnboundedReceiver<Job>);

/// No section yet, and the desk for the questions of those to come. The channel holds no more than the questions that the
/// sections allow (`max-questions`).
pub fn desk() -> (Resolvers, Desk) {
    let (desk, jobs) = mpsc::unbounded_channel();
    (Resolvers { sections: Arc::from([]), desk }, Desk(jobs))
}

impl Desk {
    /// Works on questions until nobody can ask any more; must be called on a thread that runs local tasks.
    pub async fn serve(mut self) {
        while let Some(job) = self.0.recv().await {
            tokio::task::spawn_local(job.work());
        }
    }
}

impl Job {
    async fn work(self) {
        let Job { section, name, prefer, done } = self;
        let answer = client::resolve(&section, &name, prefer).await;
        let answer = section.cache.lock().settle(&name, prefer, answer, Instant::now());
        // Everybody may have gone.
        let _ = done.send(Some(answer));
    }
}

impl Resolvers {
    /// The sections of a configuration; one that did not change keeps its answers.
    #[must_use]
    pub fn reconcile(&self, wanted: &[Arc<config::Resolvers>]) -> Resolvers {
        let kept = |conf: &Arc<config::Resolvers>| self.sections.iter().find(|section| section.conf == *conf).cloned();
        let sections = wanted.iter().map(|conf| kept(conf).unwrap_or_else(|| Section::new(conf, &self.desk)));
        Resolvers { sections: sections.collect(), desk: self.desk.clone() }
    }

    /// The section of that index in the configuration.
    pub fn nth(&self, at: usize) -> Option<&Arc<Section>> {
        self.sections.get(at)
    }

    /// All sections, in file order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Section>> {
        self.sections.iter()
    }
}

/// What a section was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Questions answered from what was known.
    pub hits: u64,
    /// Names the name servers were asked for.
    pub questions: u64,
    /// Questions that failed because too many were under way.
    pub full: u64,
    /// Names whose answers are kept.
    pub names: usize,
    /// Names that are being asked for.
    pub asking: usize,
}

impl Section {
    fn new(conf: &Arc<config::Resolvers>, desk: &mpsc::UnboundedSender<Job>) -> Arc<Section> {
        Arc::new(Section {
            conf: conf.clone(),
            nameservers: conf.nameservers.iter().map(|server| Nameserver::new(&conf.name, server)).collect(),
            cache: Mutex::new(Cache::new(conf.hold, conf.max_names, conf.max_questions)),
            hits: AtomicU64::new(0),
            questions: AtomicU64::new(0),
            full: AtomicU64::new(0),
            desk: desk.clone(),
        })
    }

    /// The address of `name`, in small letters and without a dot at its end, or the wait for it.
    pub fn ask(self: &Arc<Self>, name: &str, prefer: Prefer, now: Instant) -> Asked {
        let mut begun = None;
        let look = self.cache.lock().look(name, prefer, now, || {
            let (done, coming) = watch::channel(None);
            begun = Some((done, Coming(coming.clone())));
            Coming(coming)
        });
        let (done, coming) = match (look, begun) {
            (Look::Begun, Some(begun)) => begun,
            (Look::Fresh(addresses), _) => {
                self.hits.fetch_add(1, Relaxed);
                return Asked::Known(addresses.first().copied());
            }
            (Look::Asked(coming), _) => return Asked::Coming(coming),
            (Look::Full | Look::Begun, _) => {
                self.full.fetch_add(1, Relaxed);
                return Asked::Known(None);
            }
        };
        self.questions.fetch_add(1, Relaxed);
        let job = Job { section: self.clone(), name: name.into(), prefer, done };
        if self.desk.send(job).is_err() {
            // The process is leaving.
            self.cache.lock().settle(name, prefer, Err(Failure::Other), now);
            return Asked::Known(None);
        }
        Asked::Coming(coming)
    }

    /// What it was asked so far.
    pub fn told(&self) -> Told {
        let (names, asking) = self.cache.lock().sizes();
        Told {
            hits: self.hits.load(Relaxed),
            questions: self.questions.load(Relaxed),
            full: self.full.load(Relaxed),
            names,
            asking,
        }
    }
}
