//! `set-bandwidth-limit`, and how much a limit lets through: the transaction's own, or one that all transactions with the same
//! key of a stick table share.
//!
//! What a share has let through is a rate of the table (`bytes_in_rate`, `bytes_out_rate`), so that all workers see it, rules
//! can ask for it and an operator can show it. The driver of the transaction asks before it reads and tells what it read.

use std::sync::Arc;
use std::time::Duration;

use super::track::{key_of, table_of};
use super::units::{self, Amount};
use super::{Act, LIMIT, Next, action_table, argument, expression_of, one_of};
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::expr::Expr;
use crate::stick::{Kind, Tracked};
use crate::trace::Place;
use crate::word::{Word, Words};

action_table! {
    "set-bandwidth-limit" "set-bandwidth-limit download|upload <size>|<expr> [key <expr> [table <table>]] [min-size <size>]"
        LIMIT false parse_limit,
        "Limits the transaction from here on to so many bytes a second: download is what the client receives, upload what it \
         sends. With `key`, all transactions with that key share the limit: what they move counts in `bytes_out_rate` \
         (download) or `bytes_in_rate` (upload) of the entry in the table, which must store it; its period is the time over \
         which the limit is averaged. Where there is no key or the table is full, the limit is the transaction's own. \
         `min-size` is how much is moved at least at a time, 1k, or less under a small limit, unless given. The last one wins, 0 lifts the limit, an \
         undefined size changes nothing.",
        "set-bandwidth-limit download 512k key src table limits if { path_end .iso }";
}

const SYNTAX: &str = "set-bandwidth-limit download|upload <size>|<expr> [key <expr> [table <table>]] [min-size <size>]";

/// A limit of one direction of a transaction.
#[derive(Clone, Debug)]
pub struct BandwidthLimit {
    /// Bytes a second, above 0.
    pub per_second: u64,
    /// Bytes that are moved at a time at least (`min-size`): fewer are waited for.
    pub at_least: Option<u64>,
    /// With whom it is shared.
    pub share: Option<Share>,
}

impl BandwidthLimit {
    /// Parts of what may be moved at once, so that a transfer flows evenly.
    pub const PARTS: u64 = 8;
    /// Below so many bytes a read is not worth its call.
    const LEAST: u64 = 1024;

    /// How many bytes to wait for where `most` may be moved at all.
    pub fn least(&self, most: u64) -> u64 {
        self.at_least.unwrap_or(BandwidthLimit::LEAST.min(most / BandwidthLimit::PARTS)).clamp(1, most.max(1))
    }
}

impl PartialEq for BandwidthLimit {
    fn eq(&self, other: &BandwidthLimit) -> bool {
        let shared = |limit: &BandwidthLimit| limit.share.as_ref().map(|share| Arc::as_ptr(&share.entry));
        (self.per_second, self.at_least, shared(self)) == (other.per_second, other.at_least, shared(other))
    }
}

impl Eq for BandwidthLimit {}

/// The entry of a table that transactions share a limit by; it is kept as long as one of them goes on.
#[derive(Clone, Debug)]
pub struct Share {
    entry: Arc<Tracked>,
    what: Kind,
    /// Milliseconds of the rate.
    period: u32,
}

impl Share {
    /// How many bytes may be moved at `now`, in the milliseconds of the table; otherwise how long to wait before asking again.
    pub fn allowed(&self, limit: &BandwidthLimit, now: u64) -> Result<u64, Duration> {
        let period = u64::from(self.period.max(1));
        let most = limit.per_second.saturating_mul(period).div_ceil(1000).max(1);
        // An entry that the operator removed limits nobody any more.
        let moved = self.entry.get(self.what, now).unwrap_or(0);
        let (left, least) = (most.saturating_sub(moved), limit.least(most));
        if left >= least {
            return Ok(left);
        }
        let missing = u128::from(least.saturating_add(moved) - most);
        let wait = u64::try_from(missing * u128::from(period) / u128::from(most)).unwrap_or(period);
        // In the first period the estimate does not fall at all: not to be asked every millisecond.
        Err(Duration::from_millis(wait.clamp((period / 64).max(1), period)))
    }

    /// So many bytes were moved at `now`.
    pub fn take(&self, bytes: u64, now: u64) {
        self.entry.add(self.what, i64::try_from(bytes).unwrap_or(i64::MAX), now);
    }
}

#[derive(Debug)]
struct Limit {
    download: bool,
    rate: Amount,
    at_least: Option<u64>,
    shared: Option<Shared>,
}

/// By what it is shared.
#[derive(Debug)]
struct Shared {
    key: Expr,
    table: usize,
    what: Kind,
    period: u32,
}

fn parse_limit(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let action = "set-bandwidth-limit";
    let word = argument(words, action, "the direction", SYNTAX)?;
    let download = one_of(word, &["download", "upload"], "direction")? == 0;
    let rate = Amount::parse(words, scope, action, SYNTAX, units::size)?;
    let (mut at_least, mut shared) = (None, None);
    while let Some(word) = words.peek() {
        if word.is("key") && shared.is_none() {
            words.next();
            shared = Some(parse_shared(name, download, words, scope)?);
        } else if word.is("min-size") {
            words.next();
            at_least = Some(units::size(argument(words, action, "the size", SYNTAX)?)?.unsigned_abs());
        } else {
            break;
        }
    }
    Ok(Box::new(Limit { download, rate, at_least, shared }))
}

fn parse_shared(name: &Word, download: bool, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Shared, Fault> {
    let word = argument(words, "set-bandwidth-limit", "the key", SYNTAX)?;
    let key = expression_of(word, scope)?;
    let table = table_of(name, word, &key, "set-bandwidth-limit download 1m key src table NAME", words, scope)?;
    let what = if download { Kind::BytesOutRate } else { Kind::BytesInRate };
    let def = &scope.env.library.tables[table];
    let Some(data) = def.store.iter().find(|data| data.kind == what) else {
        let wanted = what.info().name;
        let message = format!("the table `{}` does not store `{wanted}`, by which the limit is shared", def.name);
        return Err(Fault::new(code::ACTION_ARGS, word.range.clone(), message)
            .hint(format!("add \"{wanted}(1s)\" to its `store`; a table of its own counts nothing else")));
    };
    Ok(Shared { key, table, what, period: data.period })
}

impl Shared {
    fn share(&self, ctx: &Ctx<'_>) -> Option<Share> {
        let table = ctx.world.table(self.table)?;
        let key = self.key.one(ctx, |sample| key_of(table.kind(), &sample)).flatten()?;
        let entry = Arc::new(table.track(&key, ctx.now.mono_ms)?);
        Some(Share { entry, what: self.what, period: self.period })
    }
}

impl Act for Limit {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        let Some(rate) = self.rate.get(ctx) else { return Next::Rule };
        let limit = u64::try_from(rate).ok().filter(|rate| *rate > 0).map(|per_second| BandwidthLimit {
            per_second,
            at_least: self.at_least,
            share: self.shared.as_ref().and_then(|shared| shared.share(ctx)),
        });
        ctx.did(|| match &limit {
            None => "lifted the limit".into(),
            Some(BandwidthLimit { per_second, share, .. }) => {
                match share.as_ref().and_then(|share| share.entry.key()) {
                    None => format!("at most {per_second} bytes a second"),
                    Some(key) => format!("at most {per_second} bytes a second for all of {key}"),
                }
            }
        });
        let wishes = &mut ctx.memo.wishes;
        let way = if self.download { &mut wishes.download_limit } else { &mut wishes.upload_limit };
        *way = limit;
        Next::Rule
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stick::{Data, Key, KeyKind, Table, TableDef};

    /// Three that share a limit move what one may, and never more than two periods' worth within two periods.
    #[test]
    fn a_share_lets_through_what_it_may() {
        for (per_second, period) in [(1_000, "1s"), (50_000, "1s"), (1 << 20, "10s"), (300, "100ms")] {
            let table = Arc::new(Table::new(&TableDef {
                name: "t".into(),
                key: KeyKind::Integer,
                size: 10,
                expire: None,
                nopurge: false,
                store: vec![Data::parse(&format!("bytes_out_rate({period})")).unwrap()],
            }));
            let key = Key::from_int(KeyKind::Integer, 7).unwrap();
            let period = table.store()[0].period;
            let limits: Vec<BandwidthLimit> = (0..3)
                .map(|_| {
                    let entry = Arc::new(table.track(&key, 0).unwrap());
                    let share = Some(Share { entry, what: Kind::BytesOutRate, period });
                    BandwidthLimit { per_second, at_least: None, share }
                })
                .collect();
            let (mut at, mut moved) = ([0_u64; 3], 0);
            let end = 100 * u64::from(period);
            for now in 0..end {
                for (limit, at) in limits.iter().zip(&mut at).filter(|(_, at)| **at <= now) {
                    let share = limit.share.as_ref().unwrap();
                    match share.allowed(limit, now) {
                        Ok(bytes) => {
                            let bytes = bytes.min(16 << 10);
                            share.take(bytes, now);
                            moved += bytes;
                        }
                        Err(wait) => {
                            assert!(!wait.is_zero() && wait.as_millis() <= u128::from(period));
                            *at = now + wait.as_millis() as u64;
                        }
                    }
                }
            }
            let ratio = moved as f64 * 1000.0 / (per_second * end) as f64;
            assert!((0.8..1.1).contains(&ratio), "{per_second}/s over {period} ms: {ratio}");
        }
    }
}
