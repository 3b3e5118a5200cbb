//! An evaluation that matches nothing allocates nothing, nor does a log line. The file has its own allocator, so it holds one test.
#![allow(clippy::unwrap_used, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_acl::stick::{Data, KeyKind, Table, TableDef};
use evenkeel_acl::{AclDef, Acls, Env, Library, LogFormat, Phase, RuleKind, RuleLine, RuleSet, Scene, Switch, Verdict};
use evenkeel_proto::Limits;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more, and nothing to count.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every call goes to `System` with what was given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is the same.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Ten acls, five header rules that edit and one tracked counter, on one request after the other in the same buffers, as a
/// worker serves them.
fn whole_requests(acls: &Acls, env: &Env<'_>) {
    let file: Arc<str> = "evenkeel.toml".into();
    let line = |text| RuleLine { text, file: &file, line: 1 };
    let lines = [
        line("track-sc0 src table limits"),
        line("deny if { sc_http_req_rate(0) gt 1000000 }"),
        line("deny if a or b or c or d or e or f or g or h or i or j"),
        line("set-header X-Real-IP %[src]"),
        line("set-header X-Host %[req.hdr(host),lower]"),
        line("add-header X-Via evenkeel unless a"),
        line("del-header User-Agent"),
        line("set-header X-Api yes if { path_beg /api/ } !a"),
    ];
    let rules = RuleSet::compile(RuleKind::HttpRequest, &lines, acls, env).unwrap();
    let bytes: &[u8] = b"GET /api/users?id=7 HTTP/1.1\r\nHost: WWW.example.com\r\nUser-Agent: Mozilla/5.0\r\nX-Forwarded-For: 203.0.113.7, 203.0.113.8\r\n\r\n";
    let (src, dst) = ("203.0.113.9:51234".parse().unwrap(), "192.0.2.10:443".parse().unwrap());
    let mut scene = Scene::new(std::str::from_utf8(bytes).unwrap(), src, dst).unwrap();
    scene.world.tables = env.library.tables.iter().map(|def| Arc::new(Table::new(def))).collect();
    let mut run = || {
        scene.request.reset();
        scene.request.block_mut().extend_from_slice(bytes);
        scene.request.parse_request(&Limits::default()).unwrap();
        scene.memo.clear();
        scene.with(|ctx| assert!(matches!(rules.eval(ctx, &mut 0), Verdict::Continue)));
        assert_eq!(scene.request.get(b"x-host"), Some(&b"www.example.com"[..]));
        assert_eq!(scene.request.get(b"x-api"), Some(&b"yes"[..]));
    };
    (0..10).for_each(|_| run());
    let before = ALLOCATIONS.with(Cell::get);
    (0..100).for_each(|_| run());
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "allocations in 100 requests");
}

#[test]
fn ten_acls_without_an_edit_allocate_nothing() {
    let many = format!("path_sub {}", (0..50).map(|n| format!("needle{n}")).collect::<Vec<_>>().join(" "));
    let defs = [
        AclDef { name: "a", text: "path_beg /admin/ /internal/ /private/ /debug/ /1 /2 /3 /4 /5 /6" },
        AclDef { name: "b", text: "hdr(host) -i a.example b.example c.example d.example 1 2 3 4 5 6 7" },
        AclDef { name: "c", text: "hdr_end(host) -i .evil.example" },
        AclDef { name: "d", text: "src 10.0.0.0/8 192.168.0.0/16 2001:db8::/32" },
        AclDef { name: "e", text: "req.fhdr(user-agent) -m sub -i bot crawler spider" },
        AclDef { name: "f", text: "path_reg '\\.(php|asp)$'" },
        AclDef { name: "g", text: "hdr_cnt(x-forwarded-for) gt 10" },
        AclDef { name: "h", text: "req.hdr(x-forwarded-for) -m ip 172.16.0.0/12" },
        AclDef { name: "i", text: "dst_port -m str 8443" },
        AclDef { name: "j", text: &many },
    ];
    let limits = TableDef {
        name: "limits".into(),
        key: KeyKind::Ip,
        size: 1000,
        expire: Some(Duration::from_secs(60)),
        nopurge: false,
        store: vec![Data::parse("http_req_rate(10s)").unwrap()],
    };
    let library = Library { tables: vec![limits], ..Library::default() };
    let env = Env { library: &library, proxy: "web" };
    let (acls, errors) = Acls::compile(&defs, &env);
    assert_eq!(errors, []);
    let file: Arc<str> = "evenkeel.toml".into();
    let line = |text| RuleLine { text, file: &file, line: 1 };
    let rules = RuleSet::compile(
        RuleKind::HttpRequest,
        &[
            line("deny if a or b or c or d or e or f or g or h or i or j"),
            line("set-header X-A %[src] if a !b"),
            line("redirect scheme https unless !b !{ method PUT } !HTTP_URL_ABS"),
        ],
        &acls,
        &env,
    )
    .unwrap();
    let switch =
        Switch::compile("backend", &[line("x if a"), line("y if f or { path -m len 1 }")], &acls, &env).unwrap();

    let log = LogFormat::compile(LogFormat::HTTP, &env).unwrap();
    let mut logged = Vec::new();

    let mut scene = Scene::new(
        "GET /api/users?id=7 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0\r\nX-Forwarded-For: 203.0.113.7, 203.0.113.8\r\n\r\n",
        "203.0.113.9:51234".parse().unwrap(),
        "192.0.2.10:443".parse().unwrap(),
    )
    .unwrap();
    let mut run = || {
        scene.with(|ctx| {
            assert!(matches!(rules.eval(ctx, &mut 0), Verdict::Continue));
            assert_eq!(switch.pick(ctx), None);
        });
        scene.at(Phase::Done, |ctx| {
            logged.clear();
            log.write(ctx, &mut logged);
        });
    };
    // A regex makes its cache on its first use in a thread.
    run();
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..100 {
        run();
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    whole_requests(&acls, &env);
    drop(vec![0u8; 16]);
    assert!(ALLOCATIONS.with(Cell::get) > before, "the counter counts");
}
