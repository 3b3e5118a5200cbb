//! A made-up but plausible process for tests and for `examples/page.rs`: every kind of proxy and every server state.

use evenkeel_admin::view::*;

/// The moment of the sample, 2026-11-21 01:23:45 UTC.
const NOW: u64 = 1_795_224_225;

/// A process with a failed reload, a server down, one wavering, one in maintenance, one draining, a dead backend.
pub fn view() -> View {
    let mut view = healthy();
    view.process.last_reload = Some(ReloadView {
        at_unix: NOW - 134,
        error: Some(
            "error[EK0104]: unknown key `blance` in [backend.app]\n  --> evenkeel.toml:41:1\n   |\n41 | blance = \
             \"leastconn\"\n   | ^^^^^^ did you mean `balance`?"
                .into(),
        ),
    });
    view.process.reload_failed_total = 1;
    view.process.generations_live = 2;

    let app = proxy(&mut view, "app");
    let app2 = &mut app.servers[1];
    app2.up = false;
    app2.last_change_seconds = 192;
    app2.downtime_seconds = 251;
    app2.down_transitions = 2;
    app2.traffic.sessions = 0;
    app2.traffic.response_errors = 41;
    app2.traffic.connect_errors = 3;
    app2.traffic.retries = 44;
    app2.traffic.redispatches = 44;
    app2.traffic.session_rate = Rate { now: 0, max: 312, history: fading() };
    let failed = result("L7STS", "Layer7 wrong status", Some(503), "Service Unavailable", 2, 1);
    app2.check =
        Some(CheckView { health: 0, failures: 9, last: Some(failed.clone()), last_failure: Some(failed), ..check() });

    let app3 = &mut app.servers[2];
    let late = result("L7TOUT", "Layer7 timeout", None, "", 2001, 0);
    app3.check =
        Some(CheckView { health: 2, failures: 2, last: Some(late.clone()), last_failure: Some(late), ..check() });
    app3.traffic.times.response_ms = 412;
    app3.traffic.queue = 3;

    let app4 = &mut app.servers[3];
    app4.admin = AdminState::Maint;
    app4.last_change_seconds = 93_000;
    app4.traffic.sessions = 0;
    app4.traffic.session_rate.now = 0;
    app4.traffic.session_rate.history = vec![0; 60];

    let reports = proxy(&mut view, "reports");
    reports.servers[0].up = false;
    reports.servers[0].last_change_seconds = 48;
    reports.servers[0].downtime_seconds = 48;
    reports.servers[0].down_transitions = 1;
    reports.servers[0].traffic.sessions = 0;
    reports.servers[0].traffic.session_rate = Rate { now: 0, max: 8, history: fading() };
    let refused = result("L4CON", "Layer4 connection problem", None, "Connection refused", 0, 2);
    reports.servers[0].check =
        Some(CheckView { health: 0, failures: 3, last: Some(refused.clone()), last_failure: Some(refused), ..check() });
    if let Some(b) = &mut reports.backend {
        (b.last_change_seconds, b.downtime_seconds, b.down_transitions) = (48, 48, 1);
        b.traffic.sessions = 0;
        b.traffic.session_rate = Rate { now: 0, max: 8, history: fading() };
    }

    let at = |backend: &str, server: Option<&str>, count| FailurePlace {
        frontend: "web".into(),
        backend: Some(backend.into()),
        server: server.map(Into::into),
        count,
    };
    view.process.failures = FailureView::rank(vec![
        FailureView {
            reason: "connect_refused".into(),
            code: "EV200".into(),
            fault: "server".into(),
            stage: "connect".into(),
            count: 3,
            explanation: "the server refused the connection".into(),
            next_step: "is it running, and does it listen on the address of the configuration?".into(),
            places: vec![at("app", Some("app2"), 3)],
            ..FailureView::default()
        },
        FailureView {
            reason: "servers_down".into(),
            code: "EV260".into(),
            fault: "server".into(),
            stage: "connect".into(),
            count: 1_204,
            explanation: "no server of the backend that is in service passes its health check".into(),
            next_step: "the stats page says what each check saw".into(),
            places: vec![at("reports", None, 1_204)],
            ..FailureView::default()
        },
    ]);

    let postgres = proxy(&mut view, "postgres");
    postgres.servers[1].admin = AdminState::Drain;
    view.certificates.insert(0, certificate(&["old.example"], -3, Lapse::Expired));
    view.certificates.insert(1, certificate(&["shop.example", "www.shop.example"], 5, Lapse::Week));
    view.certificates.insert(2, certificate(&["api.example"], 24, Lapse::Month));
    view
}

/// The same process with nothing wrong.
pub fn healthy() -> View {
    let process = ProcessView {
        ends: [("normal", 120), ("connect_refused", 3)].into(),
        version: "0.1.0".into(),
        pid: 4242,
        node: "lb1.example".into(),
        time_unix: NOW,
        started_unix: NOW - 1_051_200,
        uptime_seconds: 1_051_200,
        threads: 4,
        listeners: 3,
        maxconn: 20_000,
        connections: 1_204,
        connections_total: 8_301_220,
        requests_total: 91_240_113,
        bytes_in: 61_203_998_211,
        bytes_out: 1_803_400_101_223,
        generation: 7,
        generations_live: 1,
        last_reload: Some(ReloadView { at_unix: NOW - 5_400, error: None }),
        config_loaded_unix: NOW - 5_400,
        reload_ok_total: 6,
        connection_rate: rate(61, 3),
        request_rate: rate(842, 1),
        bytes_out_rate: rate(14_200_000, 2),
        tls_connections: 988,
        tls_connections_limit: 10_000,
        tls_rate_limit: 2_000,
        tls_handshakes_total: 6_120_400,
        tls_resumed_total: 4_410_233,
        certificate_ok_total: 3,
        ocsp_ok_total: 41,
        tls_rate: rate(44, 6),
        tls_full_rate: rate(12, 7),
        ..ProcessView::default()
    };
    let www = ProxyView {
        name: "www".into(),
        id: 2,
        frontend: Some(FrontendView {
            binds: vec!["0.0.0.0:80".into(), "0.0.0.0:443".into()],
            open: true,
            sessions: 1_166,
            sessions_max: 4_810,
            sessions_limit: 20_000,
            connections_total: 8_290_118,
            requests_total: 91_240_113,
            bytes_in: 60_114_201_334,
            bytes_out: 1_789_223_110_402,
            denied_requests: 1_022,
            request_errors: 318,
            intercepted: 4_410,
            responses: [112, 84_100_233, 5_120_001, 1_980_010, 39_757, 0].into(),
            connection_rate: rate(58, 4),
            request_rate: rate(842, 1),
            tls: true,
            tls_handshakes_total: 6_120_400,
            tls_resumed_total: 4_410_233,
            tls_failed_total: 1_204,
            h2_connections_total: 5_001_220,
            h2_requests_total: 70_118_402,
            ..FrontendView::default()
        }),
        ..ProxyView::default()
    };
    let app = ProxyView {
        name: "app".into(),
        id: 3,
        servers: vec![
            server("app1", 1, "10.0.0.11:8080"),
            server("app2", 2, "10.0.0.12:8080"),
            server("app3", 3, "10.0.0.13:8080"),
            server("app4", 4, "10.0.0.14:8080"),
            ServerView {
                backup: true,
                traffic: TrafficView { sessions_limit: 50, ..TrafficView::default() },
                ..server("spare", 5, "10.0.0.99:8080")
            },
        ],
        backend: Some(backend("leastconn", 71_002_118, 6)),
        ..ProxyView::default()
    };
    let assets = ProxyView {
        name: "assets".into(),
        id: 4,
        servers: vec![
            ServerView {
                check: None,
                queue_limit: 64,
                idle_connections_limit: Some(100),
                ..server("edge1", 1, "10.0.2.1:80")
            },
            ServerView { throttle_percent: Some(40), weight: 4, ..server("edge2", 2, "unix@/run/assets.sock") },
        ],
        backend: Some(backend("roundrobin", 20_117_440, 7)),
        ..ProxyView::default()
    };
    let reports = ProxyView {
        name: "reports".into(),
        id: 5,
        servers: vec![server("report1", 1, "10.0.3.1:9000")],
        backend: Some(backend("roundrobin", 120_544, 8)),
        ..ProxyView::default()
    };
    let postgres = ProxyView {
        name: "postgres".into(),
        id: 6,
        mode: Mode::Tcp,
        listen: true,
        frontend: Some(FrontendView {
            binds: vec!["0.0.0.0:5432".into()],
            open: true,
            sessions: 38,
            sessions_max: 120,
            sessions_limit: 200,
            connections_total: 11_102,
            bytes_in: 1_089_796_877,
            bytes_out: 14_176_990_821,
            connection_rate: rate(3, 5),
            ..FrontendView::default()
        }),
        servers: vec![
            tcp(server("primary", 1, "10.0.1.11:5432")),
            ServerView { backup: true, traffic: TrafficView::default(), ..tcp(server("replica", 2, "10.0.1.12:5432")) },
        ],
        backend: Some(BackendView {
            traffic: TrafficView {
                sessions: 38,
                sessions_max: 120,
                sessions_total: 11_102,
                bytes_in: 1_089_796_877,
                bytes_out: 14_176_990_821,
                times: TimesView { connect_ms: 1, total_ms: 48_200, ..TimesView::default() },
                session_rate: rate(3, 5),
                ..TrafficView::default()
            },
            ..backend("first", 11_102, 9)
        }),
    };
    let mut main = certificate(&["www.example", "example", "*.cdn.example"], 71, Lapse::Good);
    main.ocsp = Some(OcspView {
        until: Some(NOW as i64 + 190_000),
        update: true,
        responder: Some("http://ocsp.example/".into()),
        next: Some(NOW as i64 + 1200),
        succeeded: 41,
        ..OcspView::default()
    });
    View {
        process,
        proxies: vec![www, app, assets, reports, postgres],
        certificates: vec![main],
        resolvers: vec![resolvers()],
    }
}

fn resolvers() -> ResolversView {
    let near = NameserverView {
        name: "near".into(),
        address: "10.0.0.53:53".into(),
        answers: true,
        sent: 903,
        valid: 871,
        nx: 20,
        timeout: 12,
        ..NameserverView::default()
    };
    ResolversView {
        name: "dns".into(),
        questions: 900,
        cache_hits: 51_002,
        names: 40,
        nameservers: vec![near],
        ..ResolversView::default()
    }
}

fn certificate(names: &[&str], days_left: i64, lapse: Lapse) -> CertificateView {
    let not_after = NOW as i64 + days_left * 86_400 + 3600;
    CertificateView {
        path: format!("/etc/evenkeel/certs/{}.pem", names[0]),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        issuer: "Example Issuing CA 3".into(),
        serial: "0a41c7".into(),
        sha256: "5f".repeat(32),
        key: "ECDSA P-256".into(),
        chain: 1,
        not_before: not_after - 90 * 86_400,
        not_after,
        days_left,
        lapse,
        frontends: vec!["www".into()],
        watched: true,
        ..CertificateView::default()
    }
}

fn proxy<'a>(view: &'a mut View, name: &str) -> &'a mut ProxyView {
    view.proxies.iter_mut().find(|p| &*p.name == name).expect("the sample has it")
}

fn server(name: &str, id: u32, address: &str) -> ServerView {
    let n = u64::from(id);
    ServerView {
        name: name.into(),
        id,
        address: address.into(),
        up: true,
        check: Some(check()),
        weight: 10,
        user_weight: 10,
        last_change_seconds: 1_051_190,
        used_connections: 18 + id,
        idle_connections: 12,
        safe_idle_connections: 9,
        traffic: TrafficView {
            sessions: 18 + id,
            sessions_max: 140 + id,
            sessions_limit: 200,
            sessions_total: 21_000_118 / n,
            requests_total: 21_000_118 / n,
            bytes_in: 15_220_118_442 / n,
            bytes_out: 442_100_910_223 / n,
            retries: n,
            client_aborts: 901 / n,
            connects: 20_100 / n,
            reuses: 20_980_018 / n,
            chosen: 21_000_118 / n,
            responses: [20, 19_800_098 / n, 980_000 / n, 210_000 / n, 10_000 / n, 0].into(),
            times: TimesView {
                connect_ms: 1,
                response_ms: 16 + n,
                total_ms: 31 + n,
                queue_max_ms: 120,
                connect_max_ms: 1_003,
                response_max_ms: 4_410,
                total_max_ms: 30_120,
                ..TimesView::default()
            },
            last_session_seconds: Some(0),
            session_rate: rate(210 / id, id),
            ..TrafficView::default()
        },
        ..ServerView::default()
    }
}

fn tcp(mut server: ServerView) -> ServerView {
    server.traffic.requests_total = 0;
    server.traffic.responses = ResponsesView::default();
    server.traffic.times.response_ms = 0;
    server.traffic.times.total_ms = 48_200;
    server.traffic.sessions_total = 11_102;
    server.traffic.sessions_max = 120;
    server.traffic.sessions = 38;
    server.traffic.session_rate = rate(3, 5);
    let last = result("L4OK", "Layer4 check passed", None, "", 0, 1);
    server.check = Some(CheckView { last: Some(last), ..check() });
    server
}

fn backend(algorithm: &str, total: u64, seed: u32) -> BackendView {
    BackendView {
        algorithm: algorithm.into(),
        last_change_seconds: 1_051_190,
        traffic: TrafficView {
            sessions: 84,
            sessions_max: 610,
            sessions_limit: 2_000,
            sessions_total: total,
            requests_total: total,
            bytes_in: total * 700,
            bytes_out: total * 21_000,
            retries: 51,
            redispatches: 44,
            connect_errors: 3,
            response_errors: 41,
            client_aborts: 1_420,
            connects: total / 900,
            reuses: total - total / 900,
            chosen: total,
            responses: [0, total / 100 * 93, total / 100 * 5, total / 100 * 2, total / 4000, 0].into(),
            times: TimesView { connect_ms: 1, response_ms: 18, total_ms: 33, ..TimesView::default() },
            last_session_seconds: Some(0),
            session_rate: rate(620 / (seed - 5), seed),
            ..TrafficView::default()
        },
        ..BackendView::default()
    }
}

fn check() -> CheckView {
    let last = result("L7OK", "Layer7 check passed", Some(200), "OK", 2, 1);
    CheckView { rise: 2, fall: 3, health: 4, last: Some(last), ..CheckView::default() }
}

fn result(status: &'static str, words: &'static str, code: Option<u16>, info: &str, ms: u64, age: u64) -> CheckResult {
    let (status, description) = (status.into(), words.into());
    CheckResult { status, description, code, info: info.into(), duration_ms: ms, age_seconds: age }
}

/// A minute of traffic around `level` that ends at `level`.
fn rate(level: u32, seed: u32) -> Rate {
    let mut x = seed.wrapping_mul(2_654_435_761) | 1;
    let history = (0..60u32).map(|i| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        let wave = 70 + (i % 30).abs_diff(15) * 2 + x % 25;
        if i == 59 { level } else { (u64::from(level) * u64::from(wave) / 100) as u32 }
    });
    let history: Vec<u32> = history.collect();
    Rate { now: level, max: history.iter().copied().max().unwrap_or(0).saturating_mul(3) / 2, history }
}

fn fading() -> Vec<u32> {
    (0..60u32).map(|i| if i < 12 { 200 + i * 7 % 31 } else { 0 }).collect()
}
