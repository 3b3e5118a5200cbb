//! What the unit tests of this crate share: a seeded generator and the one described request of the table examples.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::sync::Arc;

use crate::auth::{Password, User, UserList};
use crate::cond::Scope;
use crate::ctx::{Ctx, Phase};
use crate::expr::Expr;
use crate::library::{CaptureSlot, Env, Library, ProxyDef};
use crate::scene::Scene;
use crate::stick::{Data, KeyKind, Table, TableDef};
use crate::word;

/// xorshift64*; the seed is printed by whoever asserts.
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    pub(crate) fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }

    /// Up to `max` letters of a small alphabet in both cases, so that matches happen.
    pub(crate) fn letters(&mut self, max: u64) -> Vec<u8> {
        (0..self.below(max + 1)).map(|_| b"abAB"[self.below(4) as usize]).collect()
    }
}

/// The request every example of the tables is evaluated on.
pub(crate) const REQUEST: &str = "POST /api/users?id=7 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11, Linux) Gecko\r\n\
    Accept: text/html, application/json, */*\r\n\
    X-Forwarded-For: 10.1.2.3, 192.168.0.9\r\n\
    X-Debug-Id: 1\r\n\
    Content-Length: 12\r\n\r\n";

/// The request `text` from 203.0.113.9, in a world with the tables of [`library`].
pub(crate) fn scene(text: &str) -> Scene {
    let mut scene = Scene::new(text, "203.0.113.9:51234".parse().unwrap(), "192.0.2.10:443".parse().unwrap())
        .unwrap_or_else(|why| panic!("{text:?} is no request: {why:?}"));
    scene.world.tables = library().tables.iter().map(|def| Arc::new(Table::new(def))).collect();
    scene
}

/// Runs `f` with a [`Ctx`] over the described request `text`.
pub(crate) fn with_ctx<T>(text: &str, f: impl FnOnce(&mut Ctx<'_>) -> T) -> T {
    scene(text).with(f)
}

/// The names that the examples of the tables refer to.
pub(crate) fn library() -> Library {
    let table = |name: &str, key, store: &[&str]| TableDef {
        name: name.into(),
        key,
        size: 100,
        expire: None,
        nopurge: false,
        store: store.iter().map(|word| Data::parse(word).unwrap()).collect(),
    };
    let legacy = [
        "conn_cnt",
        "conn_cur",
        "conn_rate(10s)",
        "sess_cnt",
        "sess_rate(10s)",
        "http_req_cnt",
        "http_req_rate(10s)",
        "http_err_cnt",
        "http_err_rate(10s)",
        "http_fail_cnt",
        "http_fail_rate(10s)",
        "bytes_in_cnt",
        "bytes_in_rate(10s)",
        "bytes_out_cnt",
        "bytes_out_rate(10s)",
        "glitch_cnt",
        "glitch_rate(10s)",
        "gpc0",
        "gpc1",
        "gpc0_rate(10s)",
        "gpc1_rate(10s)",
        "gpt0",
    ];
    let capture = CaptureSlot { len: 64 };
    let user = |name: &str, password, groups: &[&str]| User {
        name: name.into(),
        password,
        groups: groups.iter().map(|&group| group.into()).collect(),
    };
    Library {
        resolvers: vec!["dns".into()],
        tables: vec![
            table("web", KeyKind::Ip, &legacy),
            table("limits", KeyKind::Ip, &legacy),
            table("arrays", KeyKind::Ip, &["gpc(3)", "gpc_rate(3,10s)", "gpt(2)"]),
            table("names", KeyKind::String(32), &["http_req_cnt", "gpc0"]),
        ],
        proxies: vec![
            ProxyDef { name: "web".into(), frontend: true, ..ProxyDef::default() },
            ProxyDef {
                name: "app".into(),
                backend: true,
                servers: vec!["a1".into(), "a2".into()],
                ..ProxyDef::default()
            },
        ],
        userlists: vec![Arc::new(UserList {
            name: "staff".into(),
            users: vec![
                user("ann", Password::Plain("secret".into()), &["ops", "dev"]),
                user("bob", Password::Plain("p:w".into()), &["dev"]),
            ],
        })],
        captures: RefCell::new([("web".into(), (vec![capture.clone(); 2], vec![capture]))].into()),
        read: Box::new(|path| match path.to_str() {
            Some("/etc/evenkeel/site.pem") => Ok(include_bytes!("../tests/data/rsa.pem").to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }),
        variable: |name| (name == "STAGE").then(|| b"test".to_vec()),
        ..Library::default()
    }
}

/// Section `web` of [`library`]; leaked, since tests end soon.
pub(crate) fn env() -> Env<'static> {
    Env { library: Box::leak(Box::new(library())), proxy: "web" }
}

/// Where the word `text` is compiled in `phase` without acls of the file.
pub(crate) fn scope(text: &str, phase: Phase) -> Scope<'_> {
    Scope { text, phase, kind: None, acls: Box::leak(Box::default()), env: env() }
}

/// The expression `text`, compiled in section `web`.
pub(crate) fn expr(text: &str) -> Expr {
    let words = word::split(text).unwrap();
    let expr = Expr::parse_one(&words[0], 0..words[0].bytes.len(), &env());
    expr.unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

/// Whether `text` is refused as an expression.
pub(crate) fn refused(text: &str) -> bool {
    let words = word::split(text).unwrap();
    Expr::parse_one(&words[0], 0..words[0].bytes.len(), &env()).is_err()
}

/// What the expression `text` gives in `phase`, as text; `-` when undefined.
pub(crate) fn show(scene: &mut Scene, phase: Phase, text: &str) -> String {
    let expr = expr(text);
    assert!(expr.exists_in(phase), "{text} is no expression of {phase}");
    let mut out = Vec::new();
    let found = scene.at(phase, |ctx| expr.write(ctx, &mut out));
    if found { String::from_utf8_lossy(&out).into_owned() } else { "-".into() }
}

/// Every occurrence of the expression `text`, as text.
pub(crate) fn every(scene: &mut Scene, phase: Phase, text: &str) -> Vec<String> {
    let words = word::split(text).unwrap();
    let (expr, _) = Expr::parse(&words[0], 0..words[0].bytes.len(), &env()).unwrap();
    let mut all = Vec::new();
    scene.at(phase, |ctx| {
        expr.each(ctx, &mut |sample| {
            let mut out = Vec::new();
            sample.write_text(&mut out);
            all.push(String::from_utf8_lossy(&out).into_owned());
            std::ops::ControlFlow::Continue(())
        });
    });
    all
}
