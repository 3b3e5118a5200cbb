//! Loading the files of binds again while they serve: what changed is taken in, what is broken stays as it was.
//!
//! Called by [`Certs`] for watched files and for `evenkeel cert`. A bind is built whole, as at a reload; when that fails,
//! certificates that did change and are good are taken in one by one, so that a broken file does not hold up the others.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_admin::human;
use evenkeel_config::Tls;
use evenkeel_tls::cert::Cert;
use evenkeel_tls::files::Files;
use evenkeel_tls::problem::any_error;
use evenkeel_tls::store::{CertStore, Loader};
use evenkeel_tls::terminator::Terminator;
use evenkeel_tls::{Problem, Severity};

use super::{Certs, add, entry, unix_now};

/// The configuration key that mistakes are told under.
const KEY: &str = "certificates";

/// What came of loading.
#[derive(Debug, Default)]
pub struct Report {
    /// What is served now and was not, a line each.
    pub changes: Vec<String>,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
}

/// One bind, built anew.
struct Fresh {
    at: usize,
    /// All of it, or else the certificates that can be served.
    made: Result<Terminator, Vec<Arc<Cert>>>,
    problems: Vec<Problem>,
}

/// Loads the binds at these places of [`Tls::built`] again. A reload that comes in between has read the files itself.
pub async fn load(certs: &Rc<Certs>, tls: &Arc<Tls>, which: Vec<usize>) -> Report {
    let building = Arc::clone(tls);
    let built = tokio::task::spawn_blocking(move || {
        let now = unix_now();
        which.into_iter().filter_map(|at| build(&building, at, now)).collect::<Vec<Fresh>>()
    });
    let mut report = Report::default();
    let Ok(built) = built.await else { return report };
    if !Arc::ptr_eq(&certs.state.borrow().tls, tls) {
        return report;
    }
    let mut problems = Vec::new();
    let mut changes = BTreeMap::new();
    for fresh in built {
        let (_, terminator) = &tls.built()[fresh.at];
        let before = by_path(terminator);
        match fresh.made {
            Ok(made) => terminator.adopt(made),
            Err(singles) => {
                for cert in &singles {
                    terminator.replace(cert);
                }
            }
        }
        // What was put in the store while files were read is newer than what was built of them.
        if let Some(shared) = tls.shared() {
            for cert in terminator.certificates() {
                if let Some(current) = shared.certs.get(&cert.path).filter(|current| !Arc::ptr_eq(current, &cert)) {
                    terminator.replace(&current);
                }
            }
        }
        compare(&before, &by_path(terminator), &mut changes);
        problems.extend(fresh.problems.into_iter().filter(|problem| problem.severity == Severity::Error));
    }
    if let Some(shared) = tls.shared() {
        shared.certs.sweep();
    }
    add(&certs.counted.ok, changes.len() as u64);
    report.changes = changes.into_values().collect();
    report.problems = lines(&problems);
    add(&certs.counted.failed, u64::from(!report.problems.is_empty()));
    report
}

fn build(tls: &Tls, at: usize, now: i64) -> Option<Fresh> {
    let (bind, terminator) = tls.built().get(at)?;
    let shared = tls.shared()?;
    let mut problems = Vec::new();
    let made = Terminator::new(bind, tls.stores(), shared, &Files::SYSTEM, now, &mut problems);
    let made = made.ok_or_else(|| {
        let loader = Loader { files: &Files::SYSTEM, store: &shared.certs, stores: tls.stores(), now };
        // Their mistakes were told already.
        let again = |served: &Arc<evenkeel_tls::terminator::Served>| {
            let cert = loader.again(&served.source, &served.cert.path, KEY, &mut Vec::new())?;
            (!Arc::ptr_eq(&cert, &served.cert)).then_some(cert)
        };
        terminator.served().iter().filter_map(again).collect()
    });
    Some(Fresh { at, made, problems })
}

/// Reads the certificate of `path` from its file, whatever is served in its place.
pub fn from_file(tls: &Tls, path: &Path, problems: &mut Vec<Problem>) -> Option<Arc<Cert>> {
    let served = tls.terminators().find_map(|terminator| entry(terminator, path))?;
    let nothing = CertStore::default();
    let loader = Loader { files: &Files::SYSTEM, store: &nothing, stores: tls.stores(), now: unix_now() };
    let cert = loader.again(&served.source, path, KEY, problems)?;
    (!any_error(problems)).then_some(cert)
}

fn by_path(terminator: &Terminator) -> BTreeMap<PathBuf, Arc<Cert>> {
    terminator.certificates().into_iter().map(|cert| (cert.path.clone(), cert)).collect()
}

fn compare(
    before: &BTreeMap<PathBuf, Arc<Cert>>,
    after: &BTreeMap<PathBuf, Arc<Cert>>,
    changes: &mut BTreeMap<PathBuf, String>,
) {
    for (path, cert) in after {
        let old = before.get(path);
        if old.is_none_or(|old| old.sha256 != cert.sha256) {
            let sign = if old.is_none() { '+' } else { '~' };
            changes.insert(path.clone(), sentence(sign, cert, old));
        }
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        changes.insert(path.clone(), format!("- {}", path.display()));
    }
}

/// `~ site.pem: a.example, www.a.example, until 2027-01-01 00:00:00 UTC (before: 2026-...)`.
pub fn sentence(sign: char, cert: &Cert, old: Option<&Arc<Cert>>) -> String {
    let date = |at: i64| human::timestamp(u64::try_from(at).unwrap_or(0));
    let before = match old {
        Some(old) if old.not_after != cert.not_after => format!(" (before: {})", date(old.not_after)),
        _ => String::new(),
    };
    let mut names = cert.names.join(", ");
    if names.is_empty() {
        names.push_str("no name");
    }
    format!("{sign} {}: {names}, until {}{before}", cert.path.display(), date(cert.not_after))
}

/// Mistakes as lines, each once.
pub fn lines(problems: &[Problem]) -> Vec<String> {
    let mut seen = HashSet::new();
    problems.iter().map(Problem::to_string).filter(|line| seen.insert(line.clone())).collect()
}
