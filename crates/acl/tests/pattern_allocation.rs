//! Look-ups in pattern files allocate nothing once warm. The file has its own allocator, so it holds one test.
#![allow(clippy::unwrap_used, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use evenkeel_acl::Sample;
use evenkeel_acl::pattern::{Kind, Shape, Stores};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to `System` with what was given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn look_ups_do_not_allocate() {
    let ip = Sample::Ip("10.0.1.7".parse().unwrap());
    let text = Sample::Str(b"/x/key7/y.KEY8.example");
    for n in [3, 2000] {
        for (kind, sample) in [
            (Kind::Str, text),
            (Kind::Beg, text),
            (Kind::End, text),
            (Kind::Sub, text),
            (Kind::Dir, text),
            (Kind::Dom, text),
            (Kind::Reg, text),
            (Kind::Len, text),
            (Kind::Bin, Sample::Bin(b"\x00\x07")),
            (Kind::Int, Sample::Int(7)),
            (Kind::Ip, ip),
            (Kind::Str, ip),
        ] {
            let line = |n: usize| match kind {
                Kind::Ip => format!("10.0.{}.{} v\n", n / 256, n % 256),
                Kind::Int | Kind::Len => format!("{n}:{} v\n", n + 3),
                Kind::Bin => format!("{n:04x} v\n"),
                _ => format!("key{n} v\\0\n"),
            };
            let file: String = (0..n).map(line).collect();
            let read = move |_: &Path| Ok(file.clone().into_bytes());
            let store = Stores::default().load("/m", Shape::Pairs, &read).unwrap();
            for fold in [false, true] {
                let view = store.view(kind, fold).unwrap();
                let mut out = Vec::with_capacity(1 << 10);
                let mut look_up = || {
                    let found = view.find(&sample, |found| found.value.len()).is_some();
                    out.clear();
                    let filled = view.find_regm(&sample, &mut out);
                    black_box((found, filled, view.matches(&sample)))
                };
                for edited in [false, true] {
                    if edited {
                        store.add(line(n + 1).split(' ').next().unwrap().as_bytes(), b"w").unwrap();
                    }
                    look_up();
                    let before = CALLS.load(Relaxed);
                    look_up();
                    let calls = CALLS.load(Relaxed) - before;
                    assert_eq!(calls, 0, "{n} {kind:?} fold {fold} edited {edited}");
                }
            }
        }
    }
}
