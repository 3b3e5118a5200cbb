//! The command line, in one place: `--help`, completions and the man page all come from here.

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};

/// Evenkeel, a load balancer you can question.
#[derive(Debug, Parser)]
#[command(
    name = "evenkeel",
    version,
    disable_version_flag = true,
    about = "Evenkeel balances HTTP and TCP traffic over your servers, checks their health, and changes its configuration \
             without dropping a connection.",
    after_help = "Try it:\n  evenkeel demo                          three origins, balanced on :8080, stats page on :8404\n  \
                  evenkeel check /etc/evenkeel/evenkeel.toml\n  evenkeel run -c evenkeel.toml --pid-file /run/evenkeel.pid\n  \
                  evenkeel reload --pid-file /run/evenkeel.pid\n\nEvery error of the configuration has a code: `evenkeel \
                  explain EK0101` says what it means. Every \
                  failed request has a reason: `evenkeel errors` shows the most frequent ones.",
    arg_required_else_help = true
)]
pub struct Cli {
    /// Print the version; twice: how it was built.
    #[arg(short = 'v', long = "version", action = ArgAction::Count, global = true)]
    pub version: u8,

    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve traffic in the foreground.
    Run(Run),
    /// Check configuration files; exit status 0 when they are good, 1 when not.
    Check(Check),
    /// Make a running process load its configuration again, and wait for the outcome.
    Reload(Reload),
    /// Show why requests failed since the process started: the most frequent reasons, whose fault, and what to do next.
    Errors(Errors),
    /// Start three small origin servers, balance them on :8080, and show one fail and recover. Ends on Ctrl-C.
    Demo(Demo),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// Show what becomes of a request, rule by rule; or explain a code of an error, or of a failed request.
    Explain(Box<Explain>),
    /// Run the [[test]] blocks of a configuration; exit status 0 when all hold, 1 when not, 2 when it is not valid.
    Test(Test),
    /// Show how past requests of a running process were decided: one by its id, or the newest that fit.
    Why(Why),
    /// Certificates of a running process: list them, replace one, load their files again.
    Cert(Cert),
    /// Keys of TLS session tickets of a running process: show them, make a new one, append one that other nodes have.
    Tickets(Tickets),
    /// Show the name servers of a running process: what they were asked and said, and what is kept.
    Resolvers(Resolvers),
    /// Print the version.
    Version,
    /// Print a completion script for a shell.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page in troff, for `man -l -`.
    Man,
    /// Print the reference of every key, of every metric, or of every reason, in Markdown.
    Reference {
        /// The metrics instead of the keys.
        #[arg(long)]
        metrics: bool,
        /// The reasons of failed requests instead of the keys.
        #[arg(long, conflicts_with = "metrics")]
        reasons: bool,
    },
}

/// `evenkeel run`.
#[derive(Debug, Args)]
pub struct Run {
    /// A configuration file, or a directory whose *.toml files are read in name order. May be given several times. Without
    /// it, ./evenkeel.toml is used, then /etc/evenkeel/evenkeel.toml.
    #[arg(short, long = "config", value_name = "FILE|DIR")]
    pub config: Vec<PathBuf>,
    /// Write the process id to this file, and remove it at the end.
    #[arg(long, value_name = "FILE", env = "EVENKEEL_PID_FILE")]
    pub pid_file: Option<PathBuf>,
    /// Also take control requests (`evenkeel reload --socket`) on this Unix socket.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// `evenkeel check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Say nothing, only set the exit status.
    #[arg(short, long)]
    pub quiet: bool,
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
    /// Warnings fail too, and so do [[test]] blocks that do not hold.
    #[arg(long)]
    pub strict: bool,
    /// Tell also of what may well be meant: rules whose order decides.
    #[arg(long)]
    pub notes: bool,
    /// Files and directories, read together as one configuration; `-` is standard input.
    #[arg(required = true, value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
}

/// `evenkeel reload`.
#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    pub process: Running,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `evenkeel errors`.
#[derive(Debug, Args)]
pub struct Errors {
    #[command(flatten)]
    pub process: Running,
    /// How many reasons to show; 0 is all.
    #[arg(short, long = "number", value_name = "N", default_value_t = 10)]
    pub number: usize,
    /// Print them as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `evenkeel cert`.
#[derive(Debug, Args)]
pub struct Cert {
    #[command(flatten)]
    pub process: Running,
    #[command(subcommand)]
    pub action: CertAction,
}

/// What `evenkeel cert` does.
#[derive(Debug, Subcommand)]
pub enum CertAction {
    /// List the certificates that are served, the one that ends first at the top.
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of a certificate.
    Show {
        /// Its path, the name of its file, or a name it is for.
        name: String,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Serve another certificate in place of one, at once and without a reload. Connections keep the one they have.
    Replace {
        /// The path of the certificate, as `evenkeel cert list` shows it.
        path: PathBuf,
        /// Certificate, chain and key in PEM; `-` is standard input. Without it, the certificate's own file is read again.
        #[arg(long, value_name = "FILE|-")]
        pem: Option<PathBuf>,
    },
    /// Load the files of all certificates again.
    Reload,
}

/// `evenkeel resolvers`.
#[derive(Debug, Args)]
pub struct Resolvers {
    #[command(flatten)]
    pub process: Running,
    /// Print them as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `evenkeel tickets`.
#[derive(Debug, Args)]
pub struct Tickets {
    #[command(flatten)]
    pub process: Running,
    #[command(subcommand)]
    pub action: TicketsAction,
}

/// What `evenkeel tickets` does.
#[derive(Debug, Subcommand)]
pub enum TicketsAction {
    /// List the keys by their names; never the secrets.
    Show {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a new random key for binds without `ticket-keys`. Once an hour this happens by itself.
    Rotate,
    /// Append a key to those of a `ticket-keys` file, until the file changes. The one before it encrypts from then on.
    Set {
        /// 48 or 80 bytes in base64; `-` reads them from standard input, where nobody sees them.
        key: String,
        /// The file whose keys they join, when there are several.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Which running process is asked.
#[derive(Debug, Args)]
pub struct Running {
    /// The file that names the running process.
    #[arg(long, value_name = "FILE", env = "EVENKEEL_PID_FILE", conflicts_with = "socket")]
    pub pid_file: Option<PathBuf>,
    /// The control socket of the running process.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// `evenkeel explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// A code, as `EK0101` or `EV200`, or a reason's word, as `connect_refused`. Without one and without --url, all are
    /// listed.
    #[arg(conflicts_with = "url")]
    pub code: Option<String>,
    /// The configuration that is asked; without it, ./evenkeel.toml, then /etc/evenkeel/evenkeel.toml.
    #[arg(short, long = "config", value_name = "FILE|DIR")]
    pub config: Vec<PathBuf>,
    /// Ask the running process: its configuration, its servers, its stick tables. Nothing of it is changed.
    #[arg(long, requires = "url", conflicts_with = "config")]
    pub live: bool,
    #[command(flatten)]
    pub process: Running,
    #[command(flatten)]
    pub request: Asked,
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
    /// Show what every condition saw, and every header field.
    #[arg(short = 'V', long)]
    pub verbose: bool,
}

/// `evenkeel test`.
#[derive(Debug, Args)]
pub struct Test {
    /// The configuration; without it, ./evenkeel.toml, then /etc/evenkeel/evenkeel.toml.
    #[arg(short, long = "config", value_name = "FILE|DIR")]
    pub config: Vec<PathBuf>,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
    /// Show what every condition of a failed test saw, and every header field.
    #[arg(short = 'V', long)]
    pub verbose: bool,
    /// Run the tests of these names only.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// `evenkeel why`.
#[derive(Debug, Args)]
pub struct Why {
    /// The id of a request, as the JSON log and `unique-id-format` tell it; or the address and port of its client, the first
    /// word of other log lines. Without one, the newest are listed.
    #[arg(value_name = "ID|ADDRESS:PORT")]
    pub id: Option<String>,
    /// How many of the newest to list.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub last: usize,
    /// Only those that the client got this status of.
    #[arg(long, value_name = "STATUS")]
    pub status: Option<u16>,
    /// Only those whose path begins so.
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    #[command(flatten)]
    pub process: Running,
    /// Print them as JSON.
    #[arg(long)]
    pub json: bool,
    /// Show each one whole, and what every condition saw.
    #[arg(short = 'V', long)]
    pub verbose: bool,
}

/// A described request and the state it meets.
#[derive(Debug, Args)]
pub struct Asked {
    /// The request: a URL, or a path.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Its method; GET, or POST when there is a body.
    #[arg(long, value_name = "METHOD", requires = "url")]
    pub method: Option<String>,
    /// A header field; may be given several times.
    #[arg(short = 'H', long, value_name = "NAME: VALUE", requires = "url")]
    pub header: Vec<String>,
    /// Its body; @FILE reads it from a file.
    #[arg(long, value_name = "TEXT|@FILE", requires = "url")]
    pub body: Option<String>,
    /// The certificate of the client, in PEM; the URL begins with https.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub client_cert: Option<PathBuf>,
    /// What the TLS handshake came to: version=TLSv1.2, cipher=NAME, alpn=h2 (a request of HTTP/2), sni=NAME, resumed, early,
    /// verify=N (what became of verifying the client's certificate). May be given several times.
    #[arg(long, value_name = "NAME=VALUE", requires = "url")]
    pub tls: Vec<String>,
    /// The address of the client, with or without a port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub src: String,
    /// The address it connected to, with or without a port.
    #[arg(long, value_name = "ADDRESS", requires = "url")]
    pub dst: Option<String>,
    /// The frontend that takes it, where the address leaves a doubt.
    #[arg(long, value_name = "NAME", requires = "url")]
    pub frontend: Option<String>,
    /// When it comes, as 2026-03-01T09:00:00Z; now if left out.
    #[arg(long, value_name = "TIME", requires = "url")]
    pub time: Option<String>,
    /// The state of a server: up, down, drain or maint.
    #[arg(long, value_name = "BACKEND/SERVER=STATE", requires = "url")]
    pub server_state: Vec<String>,
    /// An entry of a stick table, as 'limits 203.0.113.9 http_req_rate=120'.
    #[arg(long, value_name = "TABLE KEY DATA=N", requires = "url")]
    pub table: Vec<String>,
    /// A variable that is set already, as txn.name=value.
    #[arg(long, value_name = "NAME=VALUE", requires = "url")]
    pub var: Vec<String>,
    /// What name servers answer to do-resolve, as a.example=192.0.2.1.
    #[arg(long, value_name = "NAME=ADDRESS", requires = "url")]
    pub resolve: Vec<String>,
    /// What the server answers, as status=503: shows the rules on responses.
    #[arg(long, value_name = "status=N", requires = "url")]
    pub response: Option<String>,
    /// A header field of that answer.
    #[arg(long, value_name = "NAME: VALUE", requires = "url")]
    pub response_header: Vec<String>,
    /// The body of that answer.
    #[arg(long, value_name = "TEXT", requires = "url")]
    pub response_body: Option<String>,
}

/// `evenkeel demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Where clients connect.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: std::net::SocketAddr,
    /// Where the stats page is.
    #[arg(long, default_value = "127.0.0.1:8404", value_name = "ADDRESS")]
    pub admin: std::net::SocketAddr,
}

/// The whole command, for completions and the manual page.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
