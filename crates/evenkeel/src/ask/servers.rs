//! Which server a described request gets, by the balancing code of the live path over a described state.
//!
//! Where turns or chance decide, the answer is the set of servers it may be: turns belong to each worker and are not part
//! of a description.

use std::net::IpAddr;

use evenkeel_backend::Admin;
use evenkeel_balance::{Balancer, Key, Load, Member, Standing, source_hash};
use evenkeel_config::{Backend, Balance};
use evenkeel_frontend::End;

use super::given::{Given, ServerState};
use super::question::State;
use super::walk::{Considered, ServerChoice};

/// A server that a `use-server` rule names, and the rule.
#[derive(Debug)]
pub struct Wanted {
    /// Name of the server.
    pub server: String,
    /// `file:line` of the rule.
    pub place: String,
}

/// Seeds that are tried to find all servers that are equally good.
const SEEDS: u64 = 64;

/// Chooses; the end when no server is usable.
pub fn choose(
    back: &Backend,
    given: &Given,
    src: Option<IpAddr>,
    wanted: Option<&Wanted>,
) -> (ServerChoice, Option<End>) {
    let states: Vec<&ServerState> = back.servers.iter().map(|s| given.server(&back.name, &s.name)).collect();
    let usable = |at: usize| states[at].state == State::Up;
    let load = |at: usize| Load {
        inflight: states[at].sessions.saturating_add(states[at].queued),
        maxconn: back.servers[at].maxconn,
    };
    let members: Vec<Member> = back
        .servers
        .iter()
        .enumerate()
        .map(|(at, server)| Member {
            weight: server.weight,
            static_weight: server.weight,
            usable: usable(at),
            backup: server.backup,
        })
        .collect();
    let pick = |seed: u64| {
        let key = match (back.balance, src) {
            (Balance::Source, Some(ip)) => Key::Hash(source_hash(ip)),
            _ => Key::None,
        };
        Balancer::new(back.balance, back.option.allbackups, &members, seed).pick(key, None, load)
    };
    let balancer = Balancer::new(back.balance, back.option.allbackups, &members, 0);
    let standing: Vec<Standing> = (0..members.len()).map(|at| balancer.standing(at, load(at))).collect();
    let candidates = || (0..members.len()).filter(|at| standing[*at] == Standing::Candidate);

    let named = wanted.and_then(|w| back.servers.iter().position(|s| *s.name == *w.server));
    let named = named.filter(|at| usable(*at) && !load(*at).is_full());
    let possible: Vec<usize> = match (named, back.balance) {
        (Some(at), _) => vec![at],
        (None, Balance::RoundRobin | Balance::StaticRr | Balance::Random(_)) => candidates().collect(),
        (None, Balance::LeastConn) => {
            let seeds = 0..SEEDS.min(members.len() as u64);
            let picked: Vec<usize> = seeds.filter_map(pick).collect();
            candidates().filter(|at| picked.contains(at)).collect()
        }
        (None, Balance::First | Balance::Source) => pick(0).into_iter().collect(),
    };
    let end = (named.is_none() && balancer.usable() == 0).then(|| {
        End::none_of((0..members.len()).map(|at| (usable(at), back.servers[at].weight, admin(states[at].state))))
    });
    let full = possible.iter().any(|at| load(*at).is_full());
    let mut choice = ServerChoice {
        algorithm: back.balance.to_string(),
        chosen: match possible[..] {
            [only] => Some(back.servers[only].name.to_string()),
            _ => None,
        },
        any_of: possible.iter().map(|at| back.servers[*at].name.to_string()).collect(),
        destination: None,
        waits: end.is_none() && (possible.is_empty() || full),
        why: String::new(),
        considered: Vec::new(),
    };
    choice.why = why(&choice, back, src, named.and(wanted), end, candidates().count());
    for (at, server) in back.servers.iter().enumerate() {
        let possible = possible.contains(&at);
        choice.considered.push(Considered {
            name: server.name.to_string(),
            address: server.address.to_string(),
            state: states[at].state.word().to_owned(),
            possible,
            why: match possible {
                true if choice.chosen.is_none() => "may be the one".to_owned(),
                true => "chosen".to_owned(),
                false => passed_over(standing[at], states[at], load(at), back.balance, named.is_some()),
            },
            sessions: states[at].sessions,
            maxconn: server.maxconn,
            queued: states[at].queued,
            weight: u32::from(server.weight),
        });
    }
    (choice, end)
}

fn admin(state: State) -> Admin {
    match state {
        State::Up | State::Down => Admin::Ready,
        State::Drain => Admin::Drain,
        State::Maint => Admin::Maint,
    }
}

/// Why it is this server, or these.
fn why(
    choice: &ServerChoice,
    back: &Backend,
    src: Option<IpAddr>,
    wanted: Option<&Wanted>,
    end: Option<End>,
    candidates: usize,
) -> String {
    if let Some(end) = end {
        return end.entry().sentence.to_owned();
    }
    if let Some(wanted) = wanted {
        return format!("the use-server rule at {} names it", wanted.place);
    }
    let wait = match back.timeout.queue {
        Some(limit) => format!("for {} ms at most (timeout.queue)", limit.as_millis()),
        None => "as long as it takes".to_owned(),
    };
    let who = src.map_or_else(|| "the client".to_owned(), |ip| ip.to_string());
    match (choice.any_of.len(), back.balance) {
        (0, _) => format!("every usable server is full: it waits for a free slot {wait}"),
        (1, Balance::Source) if choice.waits => {
            format!("the hash of {who} gives this server, which is full: it waits for it {wait}")
        }
        (1, Balance::Source) => format!("the hash of {who} gives this server"),
        (1, _) if candidates == 1 => "the only server that can take it".to_owned(),
        (1, Balance::First) => "the first server with a free slot".to_owned(),
        (1, Balance::LeastConn) => "the fewest requests in flight for its weight".to_owned(),
        (1, _) => "the only server that can take it".to_owned(),
        (_, Balance::RoundRobin | Balance::StaticRr) => "the one whose turn it is".to_owned(),
        (_, Balance::Random(_)) => "chance, then the fewest requests in flight".to_owned(),
        (_, Balance::LeastConn) => "equally few requests in flight for their weights".to_owned(),
        (_, Balance::First | Balance::Source) => String::new(),
    }
}

/// Why a server is not the one.
fn passed_over(standing: Standing, state: &ServerState, load: Load, balance: Balance, named: bool) -> String {
    let detail = state.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
    match (standing, state.state) {
        (_, State::Maint) => format!("in maintenance{detail}"),
        (_, State::Drain) => format!("draining: it takes no new requests{detail}"),
        (_, State::Down) => format!("down{}", if detail.is_empty() { ": its check fails" } else { &detail }),
        (Standing::Weightless, _) => "its weight is 0".to_owned(),
        (Standing::Spare, _) => "a backup, not needed while another server can serve".to_owned(),
        (Standing::LaterBackup, _) => "a later backup: only the first one serves without option.allbackups".to_owned(),
        (Standing::Full, _) => format!("full: {} of {} (maxconn)", load.inflight, load.maxconn),
        (Standing::Down | Standing::Unknown, State::Up) => "not usable".to_owned(),
        (Standing::Candidate, _) if named => "not the one the use-server rule names".to_owned(),
        (Standing::Candidate, _) => match balance {
            Balance::LeastConn => "more requests in flight for its weight".to_owned(),
            Balance::First => "a server before it has a free slot".to_owned(),
            Balance::Source => "the hash gives another one".to_owned(),
            Balance::RoundRobin | Balance::StaticRr | Balance::Random(_) => "not chosen".to_owned(),
        },
    }
}
