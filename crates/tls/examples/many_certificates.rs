//! What many certificates cost: the time to load a folder of them, the memory each takes, the time of a look-up by name.
//!
//! `cargo run --release -p evenkeel-tls --example many_certificates [count] [rsa]`. Keys are taken from a small set, because making
//! RSA keys takes longer than anything measured here; each is parsed and kept as if it were another.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use evenkeel_tls::files::Files;
use evenkeel_tls::names::Signs;
use evenkeel_tls::options::{BindTls, CertSource, CrtStores};
use evenkeel_tls::{Shared, Terminator};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(10_000, |text| text.parse().unwrap());
    let algorithm = if arguments.next().is_some() { &rcgen::PKCS_RSA_SHA256 } else { &rcgen::PKCS_ECDSA_P256_SHA256 };
    let folder = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().unwrap();
    let root = params.self_signed(&root_key).unwrap().pem();
    let issuer = Issuer::from_params(&params, &root_key);
    let keys: Vec<KeyPair> = (0..count.min(32)).map(|_| KeyPair::generate_for(algorithm).unwrap()).collect();
    for number in 0..count {
        let key = &keys[number % keys.len()];
        let names = vec![format!("host{number}.example"), format!("*.host{number}.example")];
        let leaf = CertificateParams::new(names).unwrap().signed_by(key, &issuer).unwrap();
        let text = format!("{}{root}{}", leaf.pem(), key.serialize_pem());
        std::fs::write(folder.path().join(format!("{number:06}.pem")), text).unwrap();
    }
    let bind = BindTls { certificates: vec![CertSource::new(folder.path())], ..BindTls::default() };
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let shared = Shared::new(now).unwrap();
    let build = || {
        let (mut problems, start, cpu) = (Vec::new(), Instant::now(), cpu());
        let terminator = Terminator::new(&bind, &CrtStores::default(), &shared, &Files::SYSTEM, now, &mut problems);
        println!("{} problems, loaded in {:?}, {:?} of CPU", problems.len(), start.elapsed(), self::cpu() - cpu);
        terminator.unwrap()
    };
    let before = resident();
    let terminator = build();
    println!("{:.1} KiB each", (resident() - before) as f64 / count as f64);
    let again = build();
    println!("{:.1} KiB each with a second one of the same files", (resident() - before) as f64 / count as f64);
    drop(again);
    let asked = format!("Www.host{}.example", count / 2);
    let start = Instant::now();
    for _ in 0..1_000_000 {
        let served = terminator.choose_by(Some(asked.as_bytes()), Signs::ALL, std::iter::empty).unwrap();
        std::hint::black_box(served);
    }
    println!("{:?} a look-up", start.elapsed() / 1_000_000);
}

/// Time on a CPU, which is what counts on a busy machine.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// KiB of memory in use.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
}
