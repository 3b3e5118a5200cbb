//! `evenkeel cert` and `evenkeel tickets` on the command line: what is asked, and how the answer is printed.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use evenkeel_admin::human;
use evenkeel_admin::view::{CertificateView, Lapse, OcspView};

use super::{Ask, tickets};
use crate::cli::{Cert, CertAction, Tickets, TicketsAction};
use crate::commands::{print, target};
use crate::control::{self, Outcome, Request};

/// Bytes of a PEM text that is sent.
const MAX_PEM: u64 = 256 * 1024;

/// `evenkeel cert`.
///
/// # Errors
/// What the process said, or why it could not be asked.
pub fn cert(args: Cert) -> Result<ExitCode, String> {
    let target = target(args.process)?;
    let (ask, json) = match args.action {
        CertAction::List { json } => (Ask::Show(None), json),
        CertAction::Show { name, json } => (Ask::Show(Some(name)), json),
        CertAction::Replace { path, pem } => (Ask::Replace(path, pem.as_deref().map(read).transpose()?), false),
        CertAction::Reload => (Ask::Reload, false),
    };
    let outcome = control::ask(&target, &Request::Cert(ask.clone()))?;
    if !outcome.ok {
        return Err(failed(&ask, &outcome));
    }
    let Ask::Show(which) = ask else {
        print(&format!("{}\n", outcome.message));
        return Ok(ExitCode::SUCCESS);
    };
    if json {
        print(&format!("{:#}\n", outcome.answer));
        return Ok(ExitCode::SUCCESS);
    }
    let views: Vec<CertificateView> = serde_json::from_value(outcome.answer).map_err(unreadable)?;
    print(&match which {
        None => list(&views),
        Some(_) => views.iter().map(whole).collect::<Vec<_>>().join("\n"),
    });
    Ok(ExitCode::SUCCESS)
}

fn failed(ask: &Ask, outcome: &Outcome) -> String {
    match ask {
        Ask::Replace(..) => format!("nothing was changed:\n{}", outcome.message),
        Ask::Show(_) | Ask::Reload => outcome.message.clone(),
    }
}

/// `evenkeel tickets`.
///
/// # Errors
/// What the process said, or why it could not be asked.
pub fn tickets(args: Tickets) -> Result<ExitCode, String> {
    let target = target(args.process)?;
    let (ask, json) = match args.action {
        TicketsAction::Show { json } => (tickets::Ask::Show, json),
        TicketsAction::Rotate => (tickets::Ask::Rotate, false),
        TicketsAction::Set { key, file } => {
            let key = if key == "-" { read(Path::new("-"))? } else { key };
            (tickets::Ask::Set(key.trim().to_owned(), file), false)
        }
    };
    let outcome = control::ask(&target, &Request::Tickets(ask))?;
    if !outcome.ok {
        return Err(outcome.message);
    }
    if json {
        print(&format!("{:#}\n", outcome.answer));
        return Ok(ExitCode::SUCCESS);
    }
    let all: Vec<tickets::Keys> = serde_json::from_value(outcome.answer).map_err(unreadable)?;
    let mut text = String::new();
    if !outcome.message.is_empty() {
        text.push_str(&format!("{}\n", outcome.message));
    }
    for keys in &all {
        let file = keys.file.as_ref().map_or_else(|| "made at random".to_owned(), |file| file.display().to_string());
        text.push_str(&format!("{file}\n"));
        for key in &keys.keys {
            text.push_str(&format!("  {}{}\n", key.name, if key.encrypts { "  encrypts" } else { "" }));
        }
    }
    print(&text);
    Ok(ExitCode::SUCCESS)
}

fn unreadable(e: serde_json::Error) -> String {
    format!("the running process gave an answer that cannot be read: {e}; is it of another version?")
}

/// The text of a file, or of standard input.
fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().take(MAX_PEM).read_to_string(&mut text),
        false => std::fs::File::open(path).and_then(|file| file.take(MAX_PEM).read_to_string(&mut text)),
    };
    match read {
        Ok(n) if n as u64 == MAX_PEM => Err(format!("{} is longer than {} KiB", path.display(), MAX_PEM >> 10)),
        Ok(_) => Ok(text),
        Err(e) => Err(format!("{} cannot be read: {e}", path.display())),
    }
}

fn list(views: &[CertificateView]) -> String {
    if views.is_empty() {
        return "no certificate is served: no bind has `tls`\n".to_owned();
    }
    let rows: Vec<[String; 4]> =
        views.iter().map(|view| [mark(view), view.path.clone(), names(view), view.issuer.clone()]).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(60);
    let widths = [width(0), width(1), width(2)];
    rows.iter()
        .map(|[mark, path, names, issuer]| {
            let [a, b, c] = widths;
            format!("{mark:a$}  {path:b$}  {names:c$}  {issuer}\n")
        })
        .collect()
}

fn mark(view: &CertificateView) -> String {
    let alarm = match view.lapse {
        Lapse::Good => "",
        Lapse::Month | Lapse::Fortnight => "! ",
        Lapse::Week | Lapse::Day | Lapse::Expired | Lapse::NotYet => "!! ",
    };
    format!("{alarm}{}", view.when())
}

fn names(view: &CertificateView) -> String {
    match view.names.len() {
        0 => "-".to_owned(),
        1..=3 => view.names.join(", "),
        n => format!("{} and {} more", view.names[..2].join(", "), n - 2),
    }
}

fn whole(view: &CertificateView) -> String {
    let date = |at: i64| human::timestamp(u64::try_from(at).unwrap_or(0));
    let mut files = Vec::new();
    if view.watched {
        files.push("watched for changes");
    }
    if view.sent {
        files.push("this certificate was sent, the file holds another or held one when it was read");
    }
    let mut lines = vec![
        ("names", view.names.join(", ")),
        ("valid", format!("{} to {}; {}", date(view.not_before), date(view.not_after), view.when())),
        ("issuer", view.issuer.clone()),
        ("key", view.key.clone()),
        ("serial", view.serial.clone()),
        ("sha256", view.sha256.clone()),
        ("chain", format!("{} sent with it", human::plural(view.chain, "certificate"))),
        ("frontends", view.frontends.join(", ")),
    ];
    if !files.is_empty() {
        lines.push(("file", files.join("; ")));
    }
    if let Some(ocsp) = &view.ocsp {
        lines.push(("ocsp", stapled(ocsp)));
    }
    let mut text = format!("{}\n", view.path);
    for (name, value) in lines {
        text.push_str(&format!("  {name:10}{value}\n"));
    }
    text
}

fn stapled(ocsp: &OcspView) -> String {
    let date = |at: i64| human::timestamp(u64::try_from(at).unwrap_or(0));
    let mut said =
        vec![ocsp.until.map_or_else(|| "not stapled".to_owned(), |at| format!("stapled until {}", date(at)))];
    if ocsp.update {
        said.push(match &ocsp.responder {
            Some(url) => format!("fetched from {url}, {} times, {} failures", ocsp.succeeded, ocsp.failed),
            None => "to be fetched".to_owned(),
        });
    }
    said.extend(ocsp.next.map(|at| format!("next at {}", date(at))));
    said.extend(ocsp.error.clone());
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_table_and_one_is_told_whole() {
        let view = CertificateView {
            path: "/etc/a.pem".into(),
            names: (0..5).map(|n| format!("n{n}.example")).collect(),
            issuer: "CA".into(),
            days_left: 3,
            lapse: Lapse::Week,
            sent: true,
            ocsp: Some(OcspView { until: Some(0), ..OcspView::default() }),
            ..CertificateView::default()
        };
        let one = CertificateView { names: vec!["x".into()], lapse: Lapse::Good, days_left: 30, ..view.clone() };
        assert_eq!(
            list(&[view.clone(), one]),
            "!! expires in 3 days  /etc/a.pem  n0.example, n1.example and 3 more  CA\n\
             expires in 30 days    /etc/a.pem  x                                  CA\n"
        );
        let text = whole(&view);
        assert!(text.contains("was sent") && text.contains("stapled until 1970-01-01 00:00:00 UTC"), "{text}");
        assert!(list(&[]).contains("no bind"));
    }
}
