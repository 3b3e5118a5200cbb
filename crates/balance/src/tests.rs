//! What holds for every algorithm, and the placements that HAProxy gives.

use super::*;

const ALL: [Balance; 6] =
    [Balance::RoundRobin, Balance::StaticRr, Balance::LeastConn, Balance::First, Balance::Source, Balance::Random(2)];

fn member(weight: u16) -> Member {
    Member { weight, static_weight: weight, usable: true, backup: false }
}

fn backup(weight: u16) -> Member {
    Member { backup: true, ..member(weight) }
}

fn idle(_: usize) -> Load {
    Load { inflight: 0, maxconn: 0 }
}

fn order(balancer: &mut Balancer, picks: usize) -> Vec<usize> {
    (0..picks).map(|_| balancer.pick(Key::None, None, idle).unwrap() + 1).collect()
}

/// The rule for who is in play, written apart from [`Roster`].
fn in_play(members: &[Member], server: usize, is_static: bool, allbackups: bool) -> bool {
    let able = |m: &Member| m.usable && m.weight > 0 && (!is_static || m.static_weight > 0);
    let it = &members[server];
    able(it)
        && (!it.backup
            || (!members.iter().any(|m| able(m) && !m.backup)
                && (allbackups || !members[..server].iter().any(|m| able(m) && m.backup))))
}

#[test]
fn every_pick_is_in_play_and_has_room() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let algo = ALL[rng.usize(..ALL.len())];
        let is_static = matches!(algo, Balance::StaticRr | Balance::Source);
        let most = [4, 20, 120][rng.usize(..3)];
        let (count, allbackups) = (rng.usize(1..most), rng.bool());
        let draw = |rng: &mut fastrand::Rng| Member {
            weight: rng.u16(..4),
            static_weight: rng.u16(..4),
            usable: rng.u8(..4) > 0,
            backup: false,
        };
        let mut members: Vec<Member> = (0..count).map(|_| Member { backup: rng.bool(), ..draw(&mut rng) }).collect();
        let mut balancer = Balancer::new(algo, allbackups, &members, rng.u64(..));
        for step in 0..60 {
            for _ in 0..rng.usize(..4) {
                let at = rng.usize(..count);
                members[at] =
                    Member { backup: members[at].backup, static_weight: members[at].static_weight, ..draw(&mut rng) };
            }
            balancer.update(&members);
            let play: Vec<usize> = (0..count).filter(|s| in_play(&members, *s, is_static, allbackups)).collect();
            assert_eq!(balancer.usable(), play.len(), "seed {seed} step {step} {algo}");
            for _ in 0..rng.usize(..20) {
                let loads: Vec<Load> =
                    (0..count).map(|_| Load { inflight: rng.u32(..4), maxconn: rng.u32(..4) }).collect();
                let avoid = rng.bool().then(|| rng.usize(..count));
                let key = if rng.bool() { Key::Hash(rng.u32(..)) } else { Key::None };
                let hashed = algo == Balance::Source && key != Key::None;
                let got = balancer.pick(key, avoid, |s| loads[s]);
                let able: Vec<usize> = play.iter().copied().filter(|s| hashed || !loads[*s].is_full()).collect();
                match got {
                    None => assert!(able.is_empty(), "seed {seed} step {step} {algo}: {able:?} not taken"),
                    Some(server) => {
                        assert!(able.contains(&server), "seed {seed} step {step} {algo}: {server} of {able:?}");
                        assert!(Some(server) != avoid || able.len() == 1, "seed {seed} step {step} {algo}: avoided");
                    }
                }
            }
            for server in 0..count {
                let candidate = balancer.standing(server, idle(server)) == Standing::Candidate;
                assert_eq!(candidate, play.contains(&server), "seed {seed} step {step} {algo}");
            }
        }
    }
}

#[test]
fn round_robins_share_exactly() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let count = rng.usize(1..30);
        let top = [1, 5, 256][rng.usize(..3)];
        let members: Vec<Member> = (0..count).map(|_| member(rng.u16(1..=top))).collect();
        let total: u64 = members.iter().map(|m| u64::from(m.weight)).sum();
        for algo in [Balance::RoundRobin, Balance::StaticRr] {
            let mut balancer = Balancer::new(algo, false, &members, rng.u64(..));
            let mut had = vec![0_u16; count];
            for _ in 0..total {
                had[balancer.pick(Key::None, None, idle).unwrap()] += 1;
            }
            let due: Vec<u16> = members.iter().map(|m| m.weight).collect();
            assert_eq!(had, due, "seed {seed} {algo}");
        }
    }
}

#[test]
fn round_robin_follows_live_weights_and_static_rr_those_of_the_file() {
    let mut members = [member(1), member(1)];
    for (algo, expected) in [(Balance::RoundRobin, [30, 10]), (Balance::StaticRr, [20, 20])] {
        members[0].weight = 1;
        let mut balancer = Balancer::new(algo, false, &members, 0);
        members[0].weight = 3;
        balancer.update(&members);
        let had = order(&mut balancer, 40);
        assert_eq!([1, 2].map(|s| had.iter().filter(|h| **h == s).count()), expected, "{algo}");
    }
}

#[test]
fn workers_begin_apart() {
    for algo in [Balance::RoundRobin, Balance::StaticRr, Balance::LeastConn] {
        let first = |seed| Balancer::new(algo, false, &[member(1); 5], seed).pick(Key::None, None, idle).unwrap();
        assert_eq!([0, 1, 2, 3, 4, 5].map(first), [0, 1, 2, 3, 4, 0], "{algo}");
    }
}

/// Placements printed by HAProxy 2.6 for addresses that are 0, 1, 2 ... modulo the total weight.
#[test]
fn source_places_as_haproxy_does() {
    let place = |balancer: &mut Balancer, total: u32| -> Vec<usize> {
        (0..total).map(|n| balancer.pick(Key::Hash(n), None, idle).unwrap() + 1).collect()
    };
    let mut a = Balancer::new(Balance::Source, false, &[3, 1, 2, 7].map(member), 0);
    assert_eq!(place(&mut a, 13), [1, 4, 2, 4, 1, 4, 3, 4, 1, 4, 3, 4, 4]);

    let mut members = [member(20), member(50), member(130), member(10), member(40), backup(10)];
    let mut a = Balancer::new(Balance::Source, false, &members, 7);
    let all = [1, 3, 2, 3, 2, 3, 5, 3, 3, 2, 3, 3, 5, 1, 2, 3, 3, 3, 5, 2, 3, 3, 4, 3, 5];
    assert_eq!(place(&mut a, 25), all);
    let by_address =
        |a: &mut Balancer, text: &str| a.pick(Key::Hash(source_hash(text.parse().unwrap())), None, idle).unwrap() + 1;
    let addresses = ["2001:db8::1", "fe80::1:2:3:4", "::1", "2001:db8:1:2:3:4:5:6"];
    assert_eq!(addresses.map(|ip| by_address(&mut a, ip)), [3, 1, 3, 3]);
    members[2].usable = false;
    a.update(&members);
    assert_eq!(place(&mut a, 12), [1, 2, 5, 2, 2, 5, 1, 2, 5, 2, 4, 5]);
    for gone in [0, 1, 3] {
        members[gone].usable = false;
    }
    a.update(&members);
    assert_eq!(place(&mut a, 6), [5; 6]);
    members[4].usable = false;
    a.update(&members);
    assert_eq!(place(&mut a, 6), [6; 6]);
    // A server that returns finds its clients again, whatever its live weight.
    members.iter_mut().for_each(|m| (m.usable, m.weight) = (true, 1));
    a.update(&members);
    assert_eq!(place(&mut a, 25), all);
}

#[test]
fn rotations_are_haproxys() {
    let weights = [3, 1, 2].map(member);
    let mut a = Balancer::new(Balance::StaticRr, false, &weights, 0);
    assert_eq!(order(&mut a, 12), [1, 1, 3, 1, 2, 3, 1, 1, 3, 1, 2, 3]);
    // Idle servers take turns under leastconn, whatever their weights.
    let mut a = Balancer::new(Balance::LeastConn, false, &[10, 1, 5].map(member), 0);
    assert_eq!(order(&mut a, 6), [1, 2, 3, 1, 2, 3]);
}

#[test]
fn a_hashed_client_waits_for_its_server_but_a_retry_moves_on() {
    let mut a = Balancer::new(Balance::Source, false, &[1, 1, 1].map(member), 0);
    let full = |_: usize| Load { inflight: 9, maxconn: 9 };
    assert_eq!(a.pick(Key::Hash(4), None, full), Some(1));
    assert_eq!(a.pick(Key::Hash(4), Some(1), full), Some(2));
    assert_eq!(a.pick(Key::None, None, full), None);
}

#[test]
fn backups_wait_for_the_last_active_server() {
    let mut members = [member(1), backup(1), backup(1)];
    let mut one = Balancer::new(Balance::RoundRobin, false, &members, 0);
    let mut all = Balancer::new(Balance::RoundRobin, true, &members, 0);
    assert_eq!((one.usable(), order(&mut one, 2)), (1, vec![1, 1]));
    assert_eq!(one.standing(1, idle(1)), Standing::Spare);
    // An active server of weight 0 is as good as none.
    members[0].weight = 0;
    one.update(&members);
    all.update(&members);
    assert_eq!(one.standing(0, idle(0)), Standing::Weightless);
    assert_eq!(one.standing(2, idle(2)), Standing::LaterBackup);
    assert_eq!((one.usable(), order(&mut one, 2)), (1, vec![2, 2]));
    assert_eq!((all.usable(), order(&mut all, 2)), (2, vec![2, 3]));
    members[1].usable = false;
    one.update(&members);
    assert_eq!(order(&mut one, 2), [3, 3]);
    members[2].usable = false;
    one.update(&members);
    assert_eq!((one.usable(), one.pick(Key::None, Some(0), idle)), (0, None));
}

#[test]
fn no_servers_and_nonsense_are_answered() {
    for algo in ALL {
        let mut a = Balancer::new(algo, true, &[], 7);
        assert_eq!(a.pick(Key::Hash(3), Some(9), idle), None, "{algo}");
        assert_eq!(a.standing(0, idle(0)), Standing::Unknown, "{algo}");
        // The caller promises the same servers; a changed number is still no panic.
        a.update(&vec![member(1); 100]);
        assert!(a.pick(Key::Hash(3), Some(900), idle).is_some(), "{algo}");
        a.update(&[member(1)]);
        assert_eq!(a.pick(Key::Hash(3), Some(0), idle), Some(0), "{algo}");
    }
}
