//! What a balancer sees of the servers: members, loads, and who is in play.
//!
//! Built on every update, read on every pick. Invariant: `list` and the non-zero `weights` name the same servers.

/// One server, as the balancer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Effective weight, 0–256; 0 takes no new request.
    pub weight: u16,
    /// The weight of the file, for the static algorithms.
    pub static_weight: u16,
    /// Up, and neither in maintenance nor draining.
    pub usable: bool,
    /// Used only when no active server is usable.
    pub backup: bool,
}

/// How busy a server is at this moment, over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests in flight and queued for it.
    pub inflight: u32,
    /// Requests at once; 0 = unlimited.
    pub maxconn: u32,
}

impl Load {
    /// Whether one more request would have to wait.
    #[inline]
    pub fn is_full(self) -> bool {
        self.maxconn != 0 && self.inflight >= self.maxconn
    }
}

/// What ties a request to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Nothing; a hashing algorithm falls back to round robin.
    None,
    /// A hash, such as [`crate::source_hash`] gives.
    Hash(u32),
}

/// Why a server is or is not a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may be picked.
    Candidate,
    /// It is in play and has no free slot.
    Full,
    /// Down, in maintenance or draining.
    Down,
    /// Its weight is 0.
    Weightless,
    /// A backup server while active ones are usable.
    Spare,
    /// A backup server behind the first, without `option.allbackups`.
    LaterBackup,
    /// No such server.
    Unknown,
}

/// The servers in play.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roster {
    /// Weight by member index; 0 = not in play.
    pub(crate) weights: Vec<u16>,
    /// The indices in play, ascending.
    pub(crate) list: Vec<u32>,
    /// Whether these are backup servers.
    pub(crate) backups: bool,
}

impl Roster {
    /// Active servers; when none is usable the backup servers, the first alone unless `allbackups`.
    pub(crate) fn new(members: &[Member], is_static: bool, allbackups: bool) -> Roster {
        let share = |m: &Member| match (m.usable && m.weight > 0, is_static) {
            (false, _) => 0,
            (true, false) => m.weight,
            (true, true) => m.static_weight,
        };
        let backups = !members.iter().any(|m| !m.backup && share(m) > 0);
        let mut weights: Vec<u16> = members.iter().map(|m| if m.backup == backups { share(m) } else { 0 }).collect();
        if backups
            && !allbackups
            && let Some(first) = weights.iter().position(|w| *w > 0)
        {
            weights[first + 1..].fill(0);
        }
        let list = (0..weights.len()).filter(|i| weights[*i] > 0).map(|i| i as u32).collect();
        Roster { weights, list, backups }
    }

    #[inline]
    pub(crate) fn weight(&self, server: usize) -> u16 {
        self.weights.get(server).copied().unwrap_or(0)
    }

    /// The first server with a free slot at or after position `from` of the list, then around.
    pub(crate) fn free_from<F: Fn(usize) -> Load>(&self, from: usize, gate: &Gate<F>) -> Option<usize> {
        let (before, after) = self.list.split_at(from.min(self.list.len()));
        after.iter().chain(before).map(|s| *s as usize).find(|s| gate.admits(*s))
    }
}

/// One pick's view of loads.
pub(crate) struct Gate<F> {
    pub(crate) avoid: Option<usize>,
    pub(crate) load: F,
}

impl<F: Fn(usize) -> Load> Gate<F> {
    /// Whether the server may take one more request now.
    #[inline]
    pub(crate) fn admits(&self, server: usize) -> bool {
        self.avoid != Some(server) && !(self.load)(server).is_full()
    }
}
