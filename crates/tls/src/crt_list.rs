//! Files of lines `certificate [options] names`, as HAProxy's `crt-list`.
//!
//! Called by the terminator. Reads text only; the certificates themselves are loaded afterwards. Every line with a mistake is
//! reported with its number and left out; any bytes are accepted, none panic.

use std::path::{Path, PathBuf};
use std::str::SplitAsciiWhitespace;
use std::sync::Arc;

use crate::names::Filter;
use crate::options::{BindTls, CaSource, CertSource, ClientAuth, IgnoreErrors, Policy, Verify, Version};
use crate::problem::Problem;

/// Names of one line; a certificate for more is better split.
const MAX_FILTERS: usize = 4096;

/// What may differ from line to line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Protocols offered by ALPN.
    pub alpn: Vec<Arc<[u8]>>,
    /// Versions and algorithms.
    pub policy: Policy,
    /// Client certificates.
    pub client: ClientAuth,
    /// Early data.
    pub early_data: bool,
}

impl Settings {
    /// Those of the bind.
    pub fn of_bind(bind: &BindTls) -> Settings {
        Settings {
            alpn: bind.alpn.clone(),
            policy: bind.policy.clone(),
            client: bind.client.clone(),
            early_data: bind.early_data,
        }
    }
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u32,
    /// The certificate.
    pub source: CertSource,
    /// The bind's settings with the line's over them; `None` when the line has none.
    pub settings: Option<Settings>,
    /// The names it is served for; empty stands for those in the certificate.
    pub filters: Vec<Filter>,
}

/// Reads the lines of a file. `bind` gives the settings they change and the folders that relative paths begin at.
pub fn read(path: &Path, text: &[u8], bind: &BindTls, problems: &mut Vec<Problem>) -> Vec<Line> {
    let mut found = Vec::new();
    for (at, text) in text.split(|byte| *byte == b'\n').enumerate() {
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let mut wrong = |message: String| problems.push(Problem::error("crt-list", message).file(path).line(number));
        let Ok(text) = str::from_utf8(text) else {
            wrong("the line is not UTF-8".to_owned());
            continue;
        };
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match line(number, text, bind) {
            Ok(line) => found.push(line),
            Err(message) => wrong(message),
        }
    }
    found
}

fn line(number: u32, text: &str, bind: &BindTls) -> Result<Line, String> {
    let (before, options, after) = match text.split_once('[') {
        None => (text, None, ""),
        Some((before, rest)) => {
            let (options, after) = rest.split_once(']').ok_or("the options have no closing `]`")?;
            (before, Some(options), after)
        }
    };
    let mut words = before.split_ascii_whitespace();
    let cert = words.next().ok_or("the line does not begin with a certificate")?;
    let mut line = Line {
        number,
        source: CertSource::new(under(bind.crt_base.as_deref(), cert)),
        settings: None,
        filters: Vec::new(),
    };
    // Options stand right behind the certificate; what comes before them would be names.
    if options.is_some() && words.clone().next().is_some() {
        return Err("options in `[` `]` belong between the certificate and the names".to_owned());
    }
    if let Some(options) = options {
        let mut settings = Settings::of_bind(bind);
        let mut words = options.split_ascii_whitespace();
        while let Some(word) = words.next() {
            option(word, &mut words, bind, &mut settings, &mut line.source)?;
        }
        line.settings = Some(settings);
    }
    for word in words.chain(after.split_ascii_whitespace()) {
        if word.starts_with('#') {
            break;
        }
        if line.filters.len() == MAX_FILTERS {
            return Err(format!("the line has more than {MAX_FILTERS} names"));
        }
        line.filters.push(Filter::parse(word)?);
    }
    Ok(line)
}

fn option(
    word: &str,
    words: &mut SplitAsciiWhitespace<'_>,
    bind: &BindTls,
    settings: &mut Settings,
    source: &mut CertSource,
) -> Result<(), String> {
    let mut value = || words.next().ok_or_else(|| format!("`{word}` needs a value"));
    let (ca_base, crt_base) = (bind.ca_base.as_deref(), bind.crt_base.as_deref());
    let authorities = |value: &str| match value {
        "@system-ca" => CaSource::System,
        _ => CaSource::File(under(ca_base, value)),
    };
    let Settings { alpn, policy, client, early_data } = settings;
    match word {
        "alpn" => {
            *alpn = value()?.split(',').filter(|name| !name.is_empty()).map(|name| name.as_bytes().into()).collect()
        }
        "no-alpn" => alpn.clear(),
        "allow-0rtt" => *early_data = true,
        "ciphers" => policy.ciphers = Some(value()?.into()),
        "ciphersuites" => policy.ciphersuites = Some(value()?.into()),
        "curves" | "ecdhe" => policy.curves = Some(value()?.into()),
        "sigalgs" => policy.sigalgs = Some(value()?.into()),
        "client-sigalgs" => policy.client_sigalgs = Some(value()?.into()),
        "ssl-min-ver" => policy.min = Version::parse(value()?)?,
        "ssl-max-ver" => policy.max = Version::parse(value()?)?,
        "prefer-client-ciphers" => policy.prefer_client_ciphers = true,
        "verify" => {
            client.verify = match value()? {
                "none" => Verify::None,
                "optional" => Verify::Optional,
                "required" => Verify::Required,
                other => return Err(format!("`{other}` is no way to verify; none, optional and required are")),
            };
        }
        "ca-file" => client.ca_file = Some(authorities(value()?)),
        "ca-verify-file" => client.ca_verify_file = Some(authorities(value()?)),
        "crl-file" => client.crl_file = Some(under(ca_base, value()?)),
        "ca-ignore-err" => client.ca_ignore_err = IgnoreErrors::parse(value()?)?,
        "crt-ignore-err" => client.crt_ignore_err = IgnoreErrors::parse(value()?)?,
        "no-ca-names" => client.no_ca_names = true,
        "key" => source.key = Some(under(bind.key_base.as_deref(), value()?)),
        "ocsp" => source.ocsp = Some(under(crt_base, value()?)),
        "issuer" => source.issuer = Some(under(crt_base, value()?)),
        "sctl" => source.sctl = Some(under(crt_base, value()?)),
        "ocsp-update" => {
            source.ocsp_update = match value()? {
                "on" => Some(true),
                "off" => Some(false),
                other => return Err(format!("`ocsp-update {other}` is unknown; on and off are known")),
            };
        }
        "npn" => return Err("npn is dead; write alpn".to_owned()),
        _ => {
            return Err(format!(
                "`{word}` is no option of a certificate; known are alpn, no-alpn, allow-0rtt, verify, ca-file, ca-verify-file, \
                 crl-file, ca-ignore-err, crt-ignore-err, no-ca-names, ciphers, ciphersuites, curves, ecdhe, sigalgs, \
                 client-sigalgs, ssl-min-ver, ssl-max-ver, prefer-client-ciphers, key, ocsp, issuer, sctl, ocsp-update"
            ));
        }
    }
    Ok(())
}

/// A path as it is opened: relative ones begin at `base`. References into a store stay as they are.
fn under(base: Option<&Path>, path: &str) -> PathBuf {
    match base {
        Some(base) if !path.starts_with('@') => base.join(path),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read_all(text: &str) -> (Vec<Line>, Vec<Problem>) {
        let bind = BindTls { crt_base: Some("/certs".into()), ca_base: Some("/ca".into()), ..BindTls::default() };
        let mut problems = Vec::new();
        (read(Path::new("list"), text.as_bytes(), &bind, &mut problems), problems)
    }

    #[test]
    fn the_example_of_haproxys_manual_is_read() {
        let (lines, problems) = read_all(
            "        cert1.pem !*\n\
             # comment\r\n\
             cert2.pem [alpn h2,http/1.1]\n\n\
             certW.pem                   *.domain.tld !secure.domain.tld\n\
             /abs/certS.pem [curves X25519:P-256 ciphers ECDHE-ECDSA-AES256-GCM-SHA384] Secure.domain.tld\n\
             @web/site1\n",
        );
        assert_eq!(problems, []);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 3, 5, 6, 7]);
        assert_eq!(lines[0].source.cert, Path::new("/certs/cert1.pem"));
        assert_eq!(lines[0].filters, [Filter::NotOwn]);
        assert_eq!(lines[1].settings.as_ref().unwrap().alpn.len(), 2);
        assert_eq!(lines[2].filters, [Filter::Wild("domain.tld".into()), Filter::Not("secure.domain.tld".into())]);
        assert_eq!(lines[3].source.cert, Path::new("/abs/certS.pem"));
        assert_eq!(lines[3].settings.as_ref().unwrap().policy.curves.as_deref(), Some("X25519:P-256"));
        assert_eq!(lines[3].filters, [Filter::Exact("secure.domain.tld".into())]);
        assert_eq!(lines[4].source.cert, Path::new("@web/site1"));
        assert_eq!(lines[4].settings, None);
    }

    #[test]
    fn options_change_the_settings_of_the_line_only() {
        let (lines, problems) = read_all(
            "a.pem [verify required ca-file clients.pem crl-file /x.crl crt-ignore-err 10,20 ssl-min-ver TLSv1.3 allow-0rtt no-alpn ocsp-update on]\n\
             b.pem []\n",
        );
        assert_eq!(problems, []);
        let settings = lines[0].settings.as_ref().unwrap();
        assert_eq!(settings.client.verify, Verify::Required);
        assert_eq!(settings.client.ca_file, Some(CaSource::File("/ca/clients.pem".into())));
        assert_eq!(settings.client.crl_file.as_deref(), Some(Path::new("/x.crl")));
        assert!(settings.client.crt_ignore_err.contains(20));
        assert_eq!(settings.policy.min, Version::Tls13);
        assert!(settings.early_data && settings.alpn.is_empty());
        assert_eq!(lines[0].source.ocsp_update, Some(true));
        assert_eq!(lines[1].settings, Some(Settings::of_bind(&BindTls::default())));
    }

    #[test]
    fn every_mistake_has_its_line() {
        let (lines, problems) = read_all(
            "a.pem [alpn]\n\
             b.pem [verify maybe]\n\
             c.pem [nonsense]\n\
             d.pem [alpn h2\n\
             e.pem name.example [alpn h2]\n\
             f.pem bad*name\n\
             [alpn h2] x\n\
             g.pem [ssl-min-ver TLSv1.1]\n\
             good.pem\n",
        );
        assert_eq!(lines.len(), 1);
        assert_eq!(
            problems.iter().map(|problem| problem.line.unwrap()).collect::<Vec<_>>(),
            (1..=8).collect::<Vec<_>>()
        );
        assert!(problems.iter().all(|problem| problem.file.as_deref() == Some(Path::new("list"))));
        assert!(problems[2].message.contains("known are alpn"));
    }

    #[test]
    fn any_bytes_are_read_without_panic() {
        let pieces: [&[u8]; 16] = [
            b"a.pem",
            b" ",
            b"[",
            b"]",
            b"\n",
            b"alpn",
            b"h2",
            b"!",
            b"*",
            b".x",
            b"verify",
            b"required",
            b"#",
            b"\xff",
            b"@",
            b"\t",
        ];
        for seed in 0..3000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let text: Vec<u8> =
                (0..rng.usize(0..24)).flat_map(|_| pieces[rng.usize(0..pieces.len())]).copied().collect();
            let mut problems = Vec::new();
            let lines = read(Path::new("list"), &text, &BindTls::default(), &mut problems);
            let count = text.split(|byte| *byte == b'\n').count();
            assert!(lines.len() + problems.len() <= count, "seed {seed}");
        }
    }
}
