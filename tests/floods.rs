//! Floods of HTTP/2: each is answered with ENHANCE_YOUR_CALM, has its reason in the log and in the metrics, and harms nobody else.
#![allow(clippy::unwrap_used)]

use std::io;
use std::time::{Duration, Instant};

use evenkeel_testkit::frames::{Frame, Framed, code, flag, get, kind, setting};
use evenkeel_testkit::{Act, Ask, Call, Client, DEADLINE, Gate, Origin, Proto, Script, Via, hpack};
use evenkeel_tests::watch::{GLOBAL, Watch};

/// A proxy, and a well-behaved client with a request under way through it.
struct Scene {
    watch: Watch,
    origin: Origin,
    gate: Gate,
    bystander: Client,
    waiting: Call,
}

impl Scene {
    /// `fe` is of `[tune.h2.fe]`.
    fn start(fe: &str) -> Scene {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(Script::with(move |request, _| {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
            match request.message.head.target() {
                "/held" => vec![Act::Body, Act::Wait(held.clone()), Act::Send(answer)],
                "/large" => vec![
                    Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n".to_vec()),
                    Act::SendMany(50_000_000),
                ],
                _ => vec![Act::Body, Act::Send(answer)],
            }
        }));
        let watch = Watch::start(&format!(
            "{GLOBAL}tune.h2.fe = {{ {fe} }}\n\n[listen.web]\nbind = [\"@web@\"]\ntimeout.client = \"60s\"\n\
             server = [{{ name = \"s1\", address = \"{}\" }}]\n\n\
             [listen.hasty]\nbind = [\"@hasty@\"]\ntimeout = {{ client = \"300ms\" }}\n\
             server = [{{ name = \"s1\", address = \"{0}\" }}]\n",
            origin.addr()
        ));
        let mut bystander = Client::connect(watch.proxy.addr("web"), &Via::clear(Proto::H2)).unwrap();
        let waiting = bystander.begin(&Ask::get("/held")).unwrap();
        origin.wait_seen(|seen| seen.len() == 1).unwrap();
        Scene { watch, origin, gate, bystander, waiting }
    }

    fn attacker(&self) -> Framed {
        Framed::greet(self.watch.proxy.addr("web"), None).unwrap()
    }

    /// The bystander gets the answer it waits for and may ask on.
    fn spared(self) {
        let Scene { gate, mut bystander, waiting, .. } = self;
        gate.open();
        let answer = waiting.finish().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        assert_eq!(bystander.ask(&Ask::get("/again")).unwrap().status, 200);
        assert!(bystander.h2().goaway().is_none());
    }

    /// Sends `frames` once more and once more, until the proxy has had enough of it.
    fn flood(self, mut attacker: Framed, frames: &[Frame], reason: &str) {
        let mark = self.watch.mark();
        let end = Instant::now() + DEADLINE;
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        let batch = bytes.repeat(64);
        let mut said = None;
        while said.is_none() {
            assert!(Instant::now() < end, "{reason}: it is never enough");
            if attacker.send_raw(&batch).is_err() {
                break;
            }
            said = poll_goaway(&mut attacker).unwrap();
        }
        // Once it does not read any more its farewell may be lost in a reset; then the log alone tells.
        if let Some(code) = said {
            assert_eq!(code, code::ENHANCE_YOUR_CALM, "{reason}");
        }
        let line = self.watch.ended(mark, reason);
        assert_eq!(line["fault"], "client", "{line}");
        self.spared();
    }
}

/// What GOAWAY said, when it has come; waits for nothing.
fn poll_goaway(attacker: &mut Framed) -> io::Result<Option<u32>> {
    loop {
        match attacker.next(Some(Instant::now() + Duration::from_millis(1))) {
            Ok(Some(frame)) if frame.kind == kind::GOAWAY => return Ok(Some(frame.code())),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => return Ok(None),
            Err(e) => return Err(e),
        }
    }
}

#[test]
fn settings() {
    let scene = Scene::start("max-frames-at-once = 400");
    let attacker = scene.attacker();
    scene.flood(attacker, &[Frame::settings(&[(setting::ENABLE_PUSH, 0)])], "h2_settings");
}

#[test]
fn pings() {
    let scene = Scene::start("max-frames-at-once = 400");
    let attacker = scene.attacker();
    scene.flood(attacker, &[Frame::new(kind::PING, 0, 0, *b"12345678")], "h2_pings");
}

#[test]
fn windows() {
    let scene = Scene::start("max-frames-at-once = 400");
    let attacker = scene.attacker();
    scene.flood(attacker, &[Frame::window(0, 1)], "h2_windows");
}

#[test]
fn priorities() {
    let scene = Scene::start("max-frames-at-once = 400");
    let attacker = scene.attacker();
    scene.flood(attacker, &[Frame::new(kind::PRIORITY, 0, 1, [0, 0, 0, 3, 7])], "h2_windows");
}

#[test]
fn empty_data() {
    let scene = Scene::start("max-frames-at-once = 400");
    let mut attacker = scene.attacker();
    let mut fields = get("/upload", "a");
    fields[0].1 = "POST".to_owned();
    attacker.send(&Frame::headers(1, &fields, false)).unwrap();
    scene.flood(attacker, &[Frame::data(1, [], false)], "h2_empty_data");
}

#[test]
fn continuations() {
    let scene = Scene::start("");
    let mut attacker = scene.attacker();
    let block = hpack::encode(&get("/", "a"));
    attacker.send(&Frame::new(kind::HEADERS, flag::END_STREAM, 1, block)).unwrap();
    scene.flood(attacker, &[Frame::new(kind::CONTINUATION, 0, 1, [])], "h2_continuations");
}

/// Streams that are reset as soon as they are opened (CVE-2023-44487).
#[test]
fn rapid_reset() {
    let scene = Scene::start("max-rst-at-once = 200");
    let mut attacker = scene.attacker();
    let mark = scene.watch.mark();
    let fields = get("/", "a");
    let mut stream = 1;
    let end = Instant::now() + DEADLINE;
    let mut said = None;
    while said.is_none() {
        assert!(Instant::now() < end, "it is never enough");
        let mut batch = Vec::new();
        for _ in 0..20 {
            batch.push(Frame::headers(stream, &fields, true));
            batch.push(Frame::rst(stream, code::CANCEL));
            stream += 2;
        }
        if attacker.send_all(&batch).is_err() {
            break;
        }
        said = poll_goaway(&mut attacker).unwrap();
    }
    assert!(said.is_none_or(|code| code == code::ENHANCE_YOUR_CALM));
    scene.watch.ended(mark, "h2_resets");
    scene.spared();
}

/// The same in one write: what is reset before anybody looked at it never becomes a request.
#[test]
fn rapid_reset_at_once() {
    let scene = Scene::start("");
    let mut attacker = scene.attacker();
    let mark = scene.watch.mark();
    let fields = get("/", "a");
    let frames: Vec<Frame> = (0..2000)
        .flat_map(|n| [Frame::headers(2 * n + 1, &fields, true), Frame::rst(2 * n + 1, code::CANCEL)])
        .collect();
    // It may close before all is sent.
    let _ = attacker.send_all(&frames);
    scene.watch.ended(mark, "h2_resets");
    assert!(scene.origin.served() < 1200, "{} requests reached the server", scene.origin.served());
    scene.spared();
}

/// Heads that HTTP/2 lets pass and HTTP does not: each is refused, and who sends many is cut.
#[test]
fn glitches() {
    let scene = Scene::start("glitches-threshold = 5");
    let mut attacker = scene.attacker();
    let mark = scene.watch.mark();
    let mut fields = get("/", "a");
    fields.push(("host".to_owned(), "b".to_owned()));
    let frames: Vec<Frame> = (0..20).map(|n| Frame::headers(2 * n + 1, &fields, true)).collect();
    // It may close before all is sent.
    let _ = attacker.send_all(&frames);
    scene.watch.ended(mark, "h2_glitches");
    assert_eq!(scene.origin.served(), 1, "only the bystander's request reached the server");
    scene.spared();
}

/// A few bytes that refer again and again to one long field of the table: small on the wire, huge when unpacked.
#[test]
fn header_bomb() {
    let scene = Scene::start("");
    let mut attacker = scene.attacker();
    let before = scene.watch.proxy.process().rss_kib();
    let mark = scene.watch.mark();
    let mut first = hpack::encode(&get("/bomb", "a"));
    hpack::indexed_literal(&mut first, b"x-bomb", &[b'x'; 3900]);
    attacker.send(&Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, first)).unwrap();
    let answer = attacker.wait(|f| f.kind == kind::HEADERS && f.stream == 1).unwrap();
    assert_eq!(status(&mut attacker, answer), "200");
    scene.watch.request(mark, "/bomb");
    let mut block = hpack::encode(&get("/bomb", "a"));
    // 39 MB, were it unpacked and kept.
    (0..10_000).for_each(|_| hpack::reference(&mut block, 62));
    attacker.send(&Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 3, block)).unwrap();
    let said = attacker.wait(|f| f.stream == 3 || f.kind == kind::GOAWAY).unwrap();
    assert_eq!((said.kind, said.code()), (kind::GOAWAY, code::ENHANCE_YOUR_CALM));
    scene.watch.ended(mark, "h2_excess");
    let grown = scene.watch.proxy.process().rss_kib().saturating_sub(before);
    assert!(grown < 10_000, "{grown} KiB more");
    assert_eq!(scene.origin.served(), 2, "the bomb reached the server");
    scene.spared();
}

fn status(framed: &mut Framed, head: Frame) -> String {
    let fields = framed.fields(head).unwrap();
    let (_, value) = fields.into_iter().find(|(n, _)| n == b":status").unwrap();
    String::from_utf8(value).unwrap()
}

/// A window of a byte: the answer costs one frame a byte until the budget is used up (CVE-2019-9511).
#[test]
fn data_by_the_byte() {
    let scene = Scene::start("max-frames-at-once = 400");
    let mut attacker = scene.attacker();
    attacker.send(&Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0)])).unwrap();
    attacker.send(&Frame::headers(1, &get("/large", "a"), true)).unwrap();
    attacker.wait(|f| f.kind == kind::HEADERS && f.stream == 1).unwrap();
    scene.flood(attacker, &[Frame::window(1, 1)], "h2_windows");
}

/// No window at all: the server is held back, and the stream ends as one of a client that does not read.
#[test]
fn a_stalled_download() {
    let scene = Scene::start("");
    let mark = scene.watch.mark();
    let mut attacker = Framed::greet(scene.watch.proxy.addr("hasty"), None).unwrap();
    attacker.send(&Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0)])).unwrap();
    for n in 0..20 {
        attacker.send(&Frame::headers(2 * n + 1, &get("/large", "a"), true)).unwrap();
    }
    let before = scene.watch.proxy.process().rss_kib();
    for _ in 0..20 {
        attacker.wait(|f| f.kind == kind::RST_STREAM).unwrap();
    }
    let grown = scene.watch.proxy.process().rss_kib().saturating_sub(before);
    assert!(grown < 20_000, "{grown} KiB more");
    scene.watch.line(mark, "client_not_reading");
    scene.watch.proxy.wait_metric(&evenkeel_tests::watch::metric("client_not_reading"), 20.0);
    scene.spared();
}

/// More streams than were allowed are refused, and those that are open go on.
#[test]
fn too_many_streams() {
    let scene = Scene::start("max-concurrent-streams = 10");
    let mut attacker = scene.attacker();
    let frames: Vec<Frame> = (0..15).map(|n| Frame::headers(2 * n + 1, &get("/held", "a"), true)).collect();
    attacker.send_all(&frames).unwrap();
    let mut refused = Vec::new();
    while refused.len() < 5 {
        let frame = attacker.wait(|f| matches!(f.kind, kind::RST_STREAM | kind::GOAWAY)).unwrap();
        assert_eq!((frame.kind, frame.code()), (kind::RST_STREAM, code::REFUSED_STREAM));
        refused.push(frame.stream);
    }
    assert_eq!(refused, [21, 23, 25, 27, 29]);
    scene.origin.wait_seen(|seen| seen.len() == 11).unwrap();
    scene.gate.open();
    for _ in 0..10 {
        let head = attacker.wait(|f| f.kind == kind::HEADERS).unwrap();
        assert_eq!(status(&mut attacker, head), "200");
    }
    scene.spared();
}
