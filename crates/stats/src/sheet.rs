//! What is counted for each kind of object, one sheet per worker.

use crate::counter::{Average, Counter, Rate};

/// One `T` per worker, padded to a cache line so that workers never share one.
#[derive(Debug)]
pub struct Sharded<T>(Box<[Padded<T>]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T: Default> Sharded<T> {
    /// Room for `workers` writers.
    pub fn new(workers: usize) -> Self {
        Sharded((0..workers.max(1)).map(|_| Padded::default()).collect())
    }
}

impl<T> Sharded<T> {
    /// The shard that worker number `worker` writes.
    ///
    /// # Panics
    /// If `worker` is not below the number given to [`Sharded::new`].
    #[inline]
    pub fn shard(&self, worker: usize) -> &T {
        &self.0[worker].0
    }

    /// Every shard, in worker order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|p| &p.0)
    }

    /// How many shards there are, which is how many workers.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The sum of one counter over all workers.
    pub fn sum(&self, field: impl Fn(&T) -> &Counter) -> u64 {
        self.iter().map(|t| field(t).get()).sum()
    }

    /// The weighted mean of one average over all workers, 0 before the first sample.
    pub fn mean(&self, field: impl Fn(&T) -> &Average) -> u64 {
        let (sum, n) = self.iter().map(|t| field(t).parts()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        sum.checked_div(n).unwrap_or(0)
    }

    /// The largest sample of one average over all workers.
    pub fn peak(&self, field: impl Fn(&T) -> &Average) -> u32 {
        self.iter().map(|t| field(t).max()).max().unwrap_or(0)
    }
}

/// Responses by class: 1xx, 2xx, 3xx, 4xx, 5xx, other.
#[derive(Debug, Default)]
pub struct Responses(pub [Counter; 6]);

impl Responses {
    /// Counts one final response.
    #[inline]
    pub fn record(&self, status: u16) {
        let class = usize::from(status / 100);
        self.0[if (1..=5).contains(&class) { class - 1 } else { 5 }].inc();
    }
}

/// What one worker counts for one frontend. Names are HAProxy's CSV columns.
#[derive(Debug, Default)]
pub struct FrontendSheet {
    /// Connections accepted (`conn_tot`, and `stot`: one session each).
    pub connections: Counter,
    /// Connections in the last second (`fe_sess_rate`).
    pub connection_rate: Rate,
    /// Requests in the last second (`fe_req_rate`).
    pub request_rate: Rate,
    /// HTTP requests received, broken ones included (`req_tot`).
    pub requests: Counter,
    /// Bytes received from clients (`bin`).
    pub bytes_in: Counter,
    /// Bytes sent to clients (`bout`).
    pub bytes_out: Counter,
    /// Requests denied by a rule (`dreq`).
    pub denied_requests: Counter,
    /// Responses denied by a rule (`dresp`).
    pub denied_responses: Counter,
    /// Requests in error: bad syntax, client timeout or abort before a full head (`ereq`).
    pub request_errors: Counter,
    /// Requests answered by Evenkeel itself (`intercepted`).
    pub intercepted: Counter,
    /// Connections refused by a rule or a limit before a session existed (`dcon`).
    pub denied_connections: Counter,
    /// Connections refused by a `tcp-request.session` rule (`dses`).
    pub denied_sessions: Counter,
    /// Internal errors (`eint`).
    pub internal_errors: Counter,
    /// Header rewrites that failed (`wrew`).
    pub failed_rewrites: Counter,
    /// TLS handshakes that were completed, resumed ones included.
    pub tls_handshakes: Counter,
    /// TLS handshakes that took up an earlier session (`ssl_sess` less the full ones).
    pub tls_resumed: Counter,
    /// Connections that spoke HTTP/2.
    pub h2_connections: Counter,
    /// Of the requests, those that came over HTTP/2 (`h2req`).
    pub h2_requests: Counter,
    /// Transactions and connections that were logged (`%lc`).
    pub log_lines: Counter,
    /// Final responses by class (`hrsp_*`).
    pub responses: Responses,
}

/// What one worker counts for one backend, and for one server: the same columns.
#[derive(Debug, Default)]
pub struct TrafficSheet {
    /// Requests (HTTP) or connections (TCP) that entered the backend or were given to the server (`stot`).
    pub sessions: Counter,
    /// Sessions in the last second (`be_sess_rate`, `srv_sess_rate`).
    pub session_rate: Rate,
    /// HTTP requests (`req_tot`).
    pub requests: Counter,
    /// Bytes sent to servers (`bin`: in from the client's point of view).
    pub bytes_in: Counter,
    /// Bytes received from servers and sent to clients (`bout`).
    pub bytes_out: Counter,
    /// Requests denied by a backend rule (`dreq`); stays 0 for a server.
    pub denied_requests: Counter,
    /// Responses denied by a rule (`dresp`).
    pub denied_responses: Counter,
    /// Connections that could not be made (`econ`).
    pub connect_errors: Counter,
    /// Responses in error (`eresp`).
    pub response_errors: Counter,
    /// Retries (`wretr`).
    pub retries: Counter,
    /// Redispatches to another server, or away from this one (`wredis`).
    pub redispatches: Counter,
    /// Times the algorithm chose it, or any server of it (`lbtot`).
    pub chosen: Counter,
    /// Client aborts while the transfer ran (`cli_abrt`).
    pub client_aborts: Counter,
    /// Server aborts while the transfer ran (`srv_abrt`).
    pub server_aborts: Counter,
    /// Connection attempts (`connect`).
    pub connects: Counter,
    /// Reused connections (`reuse`).
    pub reuses: Counter,
    /// Internal errors (`eint`).
    pub internal_errors: Counter,
    /// Header rewrites that failed (`wrew`).
    pub failed_rewrites: Counter,
    /// Final responses by class (`hrsp_*`).
    pub responses: Responses,
    /// Milliseconds in queue (`qtime`).
    pub queue_time: Average,
    /// Milliseconds to connect (`ctime`).
    pub connect_time: Average,
    /// Milliseconds to the response head (`rtime`).
    pub response_time: Average,
    /// Milliseconds in all (`ttime`).
    pub total_time: Average,
}
