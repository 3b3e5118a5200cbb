//! What a million entries of a stick table cost, and that their memory comes back. The file has its own allocator, so it
//! holds one test.
#![allow(clippy::unwrap_used, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use evenkeel_acl::stick::{Data, Key, KeyKind, Kind, Table, TableDef};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to `System` with what was given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn entries_cost_little_and_give_it_back() {
    let kinds = [(KeyKind::Ip, 1_000_000, 100), (KeyKind::Ipv6, 100_000, 112), (KeyKind::String(32), 100_000, 132)];
    for (kind, entries, most) in kinds {
        let before = HELD.load(Relaxed);
        PEAK.store(before, Relaxed);
        let table = Arc::new(Table::new(&TableDef {
            name: "clients".into(),
            key: kind,
            size: entries,
            expire: Some(Duration::from_secs(10)),
            nopurge: false,
            store: ["http_req_rate(10s)", "conn_cur", "gpc0"].map(|word| Data::parse(word).unwrap()).to_vec(),
        }));
        let empty = HELD.load(Relaxed) - before;
        for n in 0..entries as i64 {
            let tracked = table.track(&Key::from_int(kind, n).unwrap(), 0).unwrap();
            tracked.on_connection(0);
            tracked.on_http_request(0);
            tracked.add(Kind::Gpc0, 1, 0);
        }
        assert_eq!((table.used(), table.evictions()), (entries, 0));
        let each = (HELD.load(Relaxed) - before) / entries;
        let peak = (PEAK.load(Relaxed) - before) / entries;
        println!("{kind}: {each} bytes an entry, {peak} at the peak, {empty} for the empty table");
        assert!(peak <= most, "{kind}: {peak} bytes an entry");

        // Touching entries that are there allocates nothing.
        let held = HELD.load(Relaxed);
        PEAK.store(held, Relaxed);
        let key = Key::from_int(kind, 5).unwrap();
        table.track(&key, 1).unwrap().on_http_request(1);
        assert_eq!(table.value(&key, Kind::HttpReqRate, 1), Some(2));
        assert_eq!((HELD.load(Relaxed), PEAK.load(Relaxed)), (held, held), "{kind}");

        while table.expire(20_000, 10_000) > 0 {}
        assert_eq!(table.used(), 0);
        let left = HELD.load(Relaxed) - before;
        println!("{kind}: {left} bytes left when all expired");
        assert!(left <= empty + 64 * 1024, "{kind}: {left} bytes left, {empty} at first");
    }
}
