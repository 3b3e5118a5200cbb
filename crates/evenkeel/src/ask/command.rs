//! `evenkeel explain`, `evenkeel test` and `evenkeel why` on the command line: what is asked, and how the answer is printed.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use evenkeel_config::Config;
use evenkeel_config::handshake::{ClientCert, Handshake};
use evenkeel_tls::facts;

use super::question::{self, Question, Response, Told, Url};
use super::show::{self, Style};
use super::why::{Past, Wanted};
use super::{Given, Walk, hide_secrets, run_tests, simulate, words};
use crate::cli::{self, Explain};
use crate::commands::{config_paths, print, target};
use crate::control::{self, Request};

/// `evenkeel explain` of a request.
///
/// # Errors
/// One sentence: what cannot be understood, or what the configuration does not have.
pub fn explain(args: Explain) -> Result<ExitCode, String> {
    let (question, told) = asked(&args.request)?;
    let walk = match args.live {
        true => {
            let outcome = control::ask(&target(args.process)?, &Request::Explain(Box::new((question, told))))?;
            if !outcome.ok {
                return Err(outcome.message);
            }
            serde_json::from_value(outcome.answer).map_err(unreadable)?
        }
        false => {
            let config = load(args.config)?;
            let mut given = Given::new(&config);
            given.tell(&config, &told)?;
            let mut walk = simulate(&config, &question, &given)?;
            hide_secrets(&mut walk, &config);
            walk
        }
    };
    print_walk(&walk, args.json, args.verbose)?;
    Ok(ExitCode::SUCCESS)
}

fn unreadable(e: serde_json::Error) -> String {
    format!("the running process gave an answer that cannot be read: {e}; is it of another version?")
}

fn print_walk(walk: &Walk, json: bool, verbose: bool) -> Result<(), String> {
    match json {
        true => {
            let json = serde_json::to_value(walk).map_err(|e| e.to_string())?;
            print(&format!("{json:#}\n"));
        }
        false => print(&show::text(walk, Style::of_stdout(verbose))),
    }
    Ok(())
}

/// `evenkeel test`: exit status 0 when all hold, 1 when not, 2 when the configuration is not valid.
///
/// # Errors
/// There is no configuration.
pub fn test(args: cli::Test) -> Result<ExitCode, String> {
    let loaded = evenkeel_config::load(&config_paths(args.config)?);
    let Some(config) = &loaded.config else {
        eprint!("{}", loaded.render(std::io::stderr().is_terminal()));
        return Ok(ExitCode::from(INVALID));
    };
    if let Some(unknown) = args.names.iter().find(|name| config.tests.iter().all(|test| *test.name != ***name)) {
        eprintln!("evenkeel: there is no test `{unknown}`");
        return Ok(ExitCode::from(INVALID));
    }
    let report = run_tests(config, &args.names);
    match args.json {
        true => print(&format!("{:#}\n", serde_json::to_value(&report).map_err(|e| e.to_string())?)),
        false => print(&report.text(Style::of_stdout(args.verbose), false)),
    }
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `evenkeel why`.
///
/// # Errors
/// The process cannot be asked, or remembers no such request.
pub fn why(args: cli::Why) -> Result<ExitCode, String> {
    // The first word of the line of `httplog` is as good as an id.
    let client = args.id.as_ref().and_then(|id| id.parse().ok());
    let id = args.id.filter(|_| client.is_none());
    let named = id.is_some();
    let last = if named { 1 } else { args.last };
    let wanted = Wanted { id, client, last, status: args.status, path: args.path };
    let outcome = control::ask(&target(args.process)?, &Request::Why(wanted))?;
    if !outcome.ok {
        return Err(outcome.message);
    }
    if args.json {
        print(&format!("{:#}\n", outcome.answer));
        return Ok(ExitCode::SUCCESS);
    }
    let all: Vec<Past> = serde_json::from_value(outcome.answer).map_err(unreadable)?;
    let named = named || (client.is_some() && all.len() == 1);
    let style = Style::of_stdout(args.verbose);
    match named || args.verbose {
        true => {
            let each: Vec<String> = all.iter().map(|past| show::past(past, style)).collect();
            print(&each.join("\n"));
        }
        false if all.is_empty() => print(&format!("{}\n", outcome.message)),
        false => print(&show::list(&all, style)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Exit status of `test` when there is nothing to run tests on.
const INVALID: u8 = 2;

/// The configuration; warnings are for `check`.
fn load(paths: Vec<PathBuf>) -> Result<Config, String> {
    let loaded = evenkeel_config::load(&config_paths(paths)?);
    let text = loaded.render(false);
    loaded.config.ok_or_else(|| format!("the configuration is not valid:\n{}", text.trim_end()))
}

/// The request and the state of the command line.
fn asked(args: &cli::Asked) -> Result<(Question, Told), String> {
    let url =
        args.url.as_deref().ok_or("which request? name it with --url, as in --url https://www.example.com/api")?;
    let url = Url::parse(url)?;
    let headers = args.header.iter().map(|text| question::header(text)).collect::<Result<Vec<_>, _>>()?;
    let body = match &args.body {
        None => Vec::new(),
        Some(body) => match body.strip_prefix('@') {
            Some(file) => std::fs::read(file).map_err(|e| format!("cannot read {file}: {e}"))?,
            None => body.clone().into_bytes(),
        },
    };
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64);
    let method = args.method.clone().unwrap_or_else(|| if body.is_empty() { "GET".into() } else { "POST".into() });
    let dst = args.dst.as_deref().map(|text| address(text, url.port.unwrap_or(0))).transpose()?;
    let handshake = handshake(args, url.tls)?;
    let question = Question {
        method,
        target: url.target,
        host: url.host,
        tls: url.tls,
        handshake,
        port: url.port,
        headers,
        body,
        src: address(&args.src, 40000)?,
        dst,
        frontend: args.frontend.clone(),
        time_us: args.time.as_deref().map_or_else(|| Ok(now()), words::parse_time)?,
    };
    let servers = args.server_state.iter().map(|text| question::server_state(text)).collect::<Result<_, _>>()?;
    let tables = args.table.iter().map(|text| question::entry(text)).collect::<Result<_, _>>()?;
    let vars = args.var.iter().map(|text| question::variable(text)).collect::<Result<_, _>>()?;
    let addresses = args.resolve.iter().map(|text| question::resolved(text)).collect::<Result<_, _>>()?;
    Ok((question, Told { servers, tables, vars, addresses, response: response(args)? }))
}

/// `--tls version=TLSv1.2 --tls alpn=h2 --client-cert FILE`.
fn handshake(args: &cli::Asked, tls: bool) -> Result<Handshake, String> {
    if !tls && (!args.tls.is_empty() || args.client_cert.is_some()) {
        return Err("a handshake needs TLS: begin the URL with https://".to_owned());
    }
    let mut found = Handshake::default();
    let mut verify = None;
    for text in &args.tls {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        match name {
            "resumed" if value.is_empty() => found.resumed = true,
            "early" if value.is_empty() => found.early = true,
            "verify" => {
                verify = Some(value.parse().map_err(|_| format!("`{value}` is no number of OpenSSL's errors"))?)
            }
            "version" | "cipher" | "alpn" | "sni" => found.tell(name, value)?,
            _ => {
                return Err(format!(
                    "`{text}` says nothing of a handshake: write version=, cipher=, alpn=, sni=, verify=, resumed or early"
                ));
            }
        }
    }
    if let Some(file) = &args.client_cert {
        let text = std::fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        let der =
            facts::first_of_pem(&text).ok_or_else(|| format!("{} holds no certificate in PEM", file.display()))?;
        found.client = Some(ClientCert { der, ..ClientCert::default() });
    }
    match (verify, &mut found.client) {
        (Some(verify), Some(cert)) => cert.verify = verify,
        (Some(_), None) => return Err("verify= is of a client certificate: name it with --client-cert".to_owned()),
        (None, _) => {}
    }
    found.check()?;
    Ok(found)
}

/// `--response status=503 --response-header 'K: V' --response-body TEXT`.
fn response(args: &cli::Asked) -> Result<Option<Response>, String> {
    if args.response.is_none() && args.response_header.is_empty() && args.response_body.is_none() {
        return Ok(None);
    }
    let status = match &args.response {
        None => 200,
        Some(text) => {
            let digits = text.strip_prefix("status=").unwrap_or(text);
            let status = digits.parse().ok().filter(|status| (200..=599).contains(status));
            status.ok_or_else(|| format!("`{text}` is no status of an answer: write --response status=503"))?
        }
    };
    let headers = args.response_header.iter().map(|text| question::header(text)).collect::<Result<_, _>>()?;
    Ok(Some(Response { status, headers, body: args.response_body.clone().unwrap_or_default() }))
}

/// An address with or without a port.
fn address(text: &str, port: u16) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let ip: Result<IpAddr, _> = text.trim_start_matches('[').trim_end_matches(']').parse();
    ip.map(|ip| SocketAddr::new(ip, port))
        .map_err(|_| format!("`{text}` is no address, as 203.0.113.9 or 203.0.113.9:1234"))
}
