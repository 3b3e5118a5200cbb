//! What each subcommand does.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use evenkeel_admin::view::ResolversView;
use evenkeel_config::LoadOptions;
use evenkeel_frontend::End;

use crate::cli::{self, Check, Cli, Command, Errors, Reload, Resolvers, Run, Running};
use crate::control::{self, Request, Target};
use crate::{ask, certs, demo, supervisor};

/// Runs the command; `Err` is a sentence for standard error and exit status 1.
pub fn dispatch(cli: Cli) -> Result<ExitCode, String> {
    let Some(command) = cli.command else {
        version(cli.version);
        return Ok(ExitCode::SUCCESS);
    };
    match command {
        Command::Run(args) => run(args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => Ok(check(&args)),
        Command::Reload(args) => reload(args),
        Command::Errors(args) => errors(args),
        Command::Demo(args) => demo::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Schema => {
            print(&format!("{:#}\n", evenkeel_config::schema()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain(args) if args.request.url.is_some() => ask::command::explain(*args),
        Command::Explain(args) => explain(args.code.as_deref()),
        Command::Test(args) => ask::command::test(args),
        Command::Why(args) => ask::command::why(args),
        Command::Cert(args) => certs::command::cert(args),
        Command::Tickets(args) => certs::command::tickets(args),
        Command::Resolvers(args) => resolvers(args),
        Command::Version => {
            version(cli.version + 1);
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "evenkeel", &mut out);
            print(&String::from_utf8_lossy(&out));
            Ok(ExitCode::SUCCESS)
        }
        Command::Man => {
            let mut out = Vec::new();
            clap_mangen::Man::new(cli::command()).render(&mut out).map_err(|e| e.to_string())?;
            print(&String::from_utf8_lossy(&out));
            Ok(ExitCode::SUCCESS)
        }
        Command::Reference { metrics, reasons } => {
            print(&match (metrics, reasons) {
                (_, true) => evenkeel_frontend::reasons_markdown(),
                (true, false) => evenkeel_admin::metrics_markdown(),
                (false, false) => evenkeel_config::reference_markdown(),
            });
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Writes to standard output; a reader that left (`| head`) is no error.
pub fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn version(detail: u8) {
    print(&format!("evenkeel {}\n", env!("CARGO_PKG_VERSION")));
    if detail > 1 {
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        print(&format!(
            "build: {profile}, {}-{}\nlicence: Apache-2.0 OR MIT\nprotocols: HTTP/1.0, HTTP/1.1, HTTP/2, TLS 1.2, TLS 1.3, TCP, PROXY 1 and 2\nallocator: mimalloc\n\
             polling: epoll\n",
            std::env::consts::ARCH,
            std::env::consts::OS
        ));
    }
}

/// Where a configuration is looked for when none is named.
const DEFAULT_PATHS: [&str; 2] = ["evenkeel.toml", "/etc/evenkeel/evenkeel.toml"];

fn run(args: Run) -> Result<(), String> {
    start_logging();
    let paths = config_paths(args.config)?;
    supervisor::run(&supervisor::Options { paths, pid_file: args.pid_file, socket: args.socket })
}

/// The files that were named, or the one that stands where a configuration usually is.
///
/// # Errors
/// There is none.
pub fn config_paths(named: Vec<PathBuf>) -> Result<Vec<PathBuf>, String> {
    if !named.is_empty() {
        return Ok(named);
    }
    match DEFAULT_PATHS.iter().map(Path::new).find(|p| p.exists()) {
        Some(path) => {
            tracing::info!("no -c was given: using {}", path.display());
            Ok(vec![path.to_owned()])
        }
        None => Err(format!(
            "no configuration: neither ./{} nor {} exists; name one with -c FILE, or try `evenkeel demo`",
            DEFAULT_PATHS[0], DEFAULT_PATHS[1]
        )),
    }
}

/// The program log: standard error, one line an event; `EVENKEEL_LOG` sets the level as `info`, `debug`, ...
pub fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("EVENKEEL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A second start in one process (tests) keeps the first log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}

fn check(args: &Check) -> ExitCode {
    let opts = LoadOptions { notes: args.notes, ..LoadOptions::system() };
    let loaded = evenkeel_config::load_with(&args.files, &opts);
    let warnings = loaded.warnings();
    let errors = loaded.errors();
    let tests = loaded.config.as_ref().filter(|_| args.strict).map(|config| ask::run_tests(config, &[]));
    let failed = tests.as_ref().map_or(0, |tests| tests.failed);
    let good = loaded.config.is_some() && !(args.strict && warnings > 0) && failed == 0;
    if args.json {
        let mut json = loaded.to_json();
        if let (Some(object), Some(tests)) = (json.as_object_mut(), &tests) {
            object.insert("tests".to_owned(), serde_json::to_value(tests).unwrap_or_default());
            object.insert("ok".to_owned(), good.into());
        }
        print(&format!("{json:#}\n"));
    } else if !args.quiet {
        eprint!("{}", loaded.render(std::io::stderr().is_terminal()));
        if let Some(tests) = tests.filter(|tests| tests.failed > 0) {
            eprint!("{}", tests.text(ask::Style::default(), true));
        }
        match &loaded.config {
            Some(config) if good => print(&format!(
                "configuration is valid: {} frontend(s), {} backend(s), {} server(s), {warnings} warning(s)\n",
                config.frontends.len(),
                config.backends.len(),
                config.backends.iter().map(|b| b.servers.len()).sum::<usize>()
            )),
            _ if failed > 0 => eprintln!("configuration is not valid: {failed} test(s) failed, {warnings} warning(s)"),
            _ => eprintln!("configuration is not valid: {errors} error(s), {warnings} warning(s)"),
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The pid file that is looked for when neither `--pid-file` nor `--socket` is given.
const DEFAULT_PID_FILE: &str = "/run/evenkeel.pid";

/// The process that the command line names, or the one of the usual pid file.
///
/// # Errors
/// There is none.
pub fn target(process: Running) -> Result<Target, String> {
    match (process.pid_file, process.socket) {
        (_, Some(path)) => Ok(Target::Socket(path)),
        (Some(path), None) => Ok(Target::PidFile(path)),
        (None, None) if Path::new(DEFAULT_PID_FILE).exists() => Ok(Target::PidFile(DEFAULT_PID_FILE.into())),
        (None, None) => Err(format!(
            "which process? {DEFAULT_PID_FILE} does not exist; name it with --pid-file FILE or --socket PATH"
        )),
    }
}

fn reload(args: Reload) -> Result<ExitCode, String> {
    let outcome = control::ask(&target(args.process)?, &Request::Reload)?;
    if args.json {
        let json = serde_json::to_value(&outcome).map_err(|e| e.to_string())?;
        print(&format!("{json:#}\n"));
    } else if outcome.ok {
        print(&format!("{}\n", outcome.message.trim_end()));
    } else {
        eprintln!("reload failed:\n{}", outcome.message.trim_end());
    }
    Ok(if outcome.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn resolvers(args: Resolvers) -> Result<ExitCode, String> {
    let outcome = control::ask(&target(args.process)?, &Request::Resolvers)?;
    if !outcome.ok {
        return Err(outcome.message);
    }
    if args.json {
        print(&format!("{:#}\n", outcome.answer));
        return Ok(ExitCode::SUCCESS);
    }
    let sections: Vec<ResolversView> = serde_json::from_value(outcome.answer).map_err(|e| {
        format!("the running process gave an answer that cannot be read: {e}; is it of another version?")
    })?;
    let mut text = String::new();
    for s in &sections {
        text.push_str(&format!(
            "resolvers {}: {} asked for, {} known already, {} too many; {} kept, {} under way\n",
            s.name, s.questions, s.cache_hits, s.refused, s.names, s.asking
        ));
        for n in &s.nameservers {
            // One that was written as a bare address is named by it.
            let name = if n.address.contains(&n.name) { String::new() } else { format!("{} ", n.name) };
            let silent = if n.answers { "" } else { " (silent)" };
            text.push_str(&format!(
                "  {name}{}{silent}: sent {}, valid {}, nx {}, refused {}, timeout {}, other {}\n",
                n.address, n.sent, n.valid, n.nx, n.refused, n.timeout, n.other
            ));
        }
    }
    if sections.is_empty() {
        text.push_str("there is no [resolvers.NAME]\n");
    }
    print(&text);
    Ok(ExitCode::SUCCESS)
}

fn errors(args: Errors) -> Result<ExitCode, String> {
    let outcome = control::ask(&target(args.process)?, &Request::Errors)?;
    if !outcome.ok {
        return Err(outcome.message);
    }
    let all = outcome.failures.len();
    let shown = &outcome.failures[..if args.number == 0 { all } else { args.number.min(all) }];
    if args.json {
        let json = serde_json::to_value(shown).map_err(|e| e.to_string())?;
        print(&format!("{json:#}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for f in shown {
        text.push_str(&format!(
            "{:>9} {:>3}.{}%  {} {} (fault: {})\n{:18}{}\n{:18}next: {}\n",
            f.count,
            f.per_mille / 10,
            f.per_mille % 10,
            f.code,
            f.reason,
            f.fault,
            "",
            f.explanation,
            "",
            f.next_step
        ));
        for place in &f.places {
            text.push_str(&format!("{:18}{:>9}  {}\n", "", place.count, place.path()));
        }
    }
    match all - shown.len() {
        _ if all == 0 => text.push_str("no request and no connection failed since the process started\n"),
        0 => {}
        n => text.push_str(&format!("and {n} rarer reason(s): -n 0 shows all\n")),
    }
    print(&text);
    Ok(ExitCode::SUCCESS)
}

fn explain(code: Option<&str>) -> Result<ExitCode, String> {
    let Some(code) = code else {
        let mut list: String =
            evenkeel_config::all_codes().iter().map(|e| format!("{}  {}\n", e.code, e.title)).collect();
        list.extend(End::all().map(|e| format!("{}   {}: {}\n", e.code, e.label, e.sentence)));
        print(&list);
        return Ok(ExitCode::SUCCESS);
    };
    let upper = code.to_ascii_uppercase();
    if let Some(e) = evenkeel_config::explain(&upper) {
        print(&format!("{}: {}\n\n{}\n", e.code, e.title, e.text.trim_end()));
    } else if let Some(e) = End::all().find(|e| e.code == upper || e.label == code) {
        print(&e.explain());
    } else {
        return Err(format!("{code} is no known code; `evenkeel explain` lists them all"));
    }
    Ok(ExitCode::SUCCESS)
}
