//! The live state around a transaction: numbers, tables, variables of the process, chance.

use std::net::IpAddr;
use std::sync::Arc;

use crate::stick::Table;
use crate::vars::{ProcVars, VarLimits};

/// Which live number a fetch asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count<'n> {
    /// Of the process.
    Process(ProcessCount),
    /// Of the frontend of that name.
    Frontend(&'n str, FrontendCount),
    /// Of the backend of that name.
    Backend(&'n str, BackendCount),
    /// Of the server of that backend.
    Server(&'n str, &'n str, ServerCount),
}

/// Live numbers of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessCount {
    /// Client connections (`act_conn`).
    Connections,
    /// Process id.
    Pid,
    /// Seconds since the start.
    Uptime,
    /// 1 during a soft stop.
    Stopping,
    /// Worker number.
    Thread,
    /// Number of workers.
    Threads,
}

/// Live numbers of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrontendCount {
    /// Connections (`fe_conn`).
    Connections,
    /// Requests in the last second (`fe_req_rate`).
    RequestRate,
    /// Connections in the last second (`fe_sess_rate`).
    SessionRate,
    /// `timeout.client`, ms (`fe_client_timeout`).
    ClientTimeout,
    /// Transactions and connections it logged (`%lc`).
    LogLines,
}

/// Live numbers of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendCount {
    /// Usable servers (`nbsrv`).
    UsableServers,
    /// Requests in flight (`be_conn`).
    Connections,
    /// Free slots; `None` when a server has no `maxconn` (`be_conn_free`).
    FreeConnections,
    /// Free slots in servers and queues (`connslots`).
    FreeSlots,
    /// Requests that wait (`queue`).
    Queue,
    /// Requests in the last second (`be_sess_rate`).
    SessionRate,
    /// `timeout.server`, ms (`be_server_timeout`).
    ServerTimeout,
    /// `timeout.tunnel`, ms (`be_tunnel_timeout`).
    TunnelTimeout,
    /// Its number (`be_id`).
    Id,
}

/// Live numbers of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerCount {
    /// 1 when it takes requests (`srv_is_up`).
    Up,
    /// Requests in flight (`srv_conn`).
    Connections,
    /// Free slots (`srv_conn_free`).
    FreeConnections,
    /// Requests that wait for it (`srv_queue`).
    Queue,
    /// Requests in the last second (`srv_sess_rate`).
    SessionRate,
    /// Weight as it counts now (`srv_weight`).
    Weight,
    /// Weight of the configuration (`srv_iweight`).
    InitialWeight,
    /// Weight as the operator set it (`srv_uweight`).
    UserWeight,
    /// Its number (`srv_id`).
    Id,
}

/// The live state around the transaction, or a described one.
pub trait World {
    /// A live number; `None` when there is no such object or the number is not known.
    fn count(&self, what: Count<'_>) -> Option<i64>;
    /// The stick table of that index in the configuration.
    fn table(&self, at: usize) -> Option<&Arc<Table>>;
    /// The variables of the process.
    fn proc_vars(&self) -> &ProcVars;
    /// Bytes that variables may take.
    fn var_limits(&self) -> VarLimits {
        VarLimits::DEFAULT
    }
    /// A random number.
    fn random(&self) -> u64;
    /// The name of this machine.
    fn hostname(&self) -> &str;
    /// Whether this is a description of something else: tables and variables are then this world's own, but pattern files
    /// and maps are those of traffic and must be left alone.
    fn is_described(&self) -> bool {
        false
    }
    /// Whether that is an address of this machine (`src_is_local`); without a list of them, a loopback address is.
    fn is_local(&self, ip: IpAddr) -> bool {
        ip.to_canonical().is_loopback()
    }
    /// Seconds that local time is ahead of UTC at `unix_s` (dates of logs).
    fn utc_offset(&self, _unix_s: i64) -> i32 {
        0
    }
    /// The name of this node as configured, else as [`hostname`](World::hostname).
    fn node(&self) -> &str {
        self.hostname()
    }
}
