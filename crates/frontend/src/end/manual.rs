//! The reasons in words: the page of the manual, and one entry for a terminal. Both are printed from the table.

use std::fmt::Write as _;

use super::{End, Entry, Fault};

impl Entry {
    /// The entry as `evenkeel explain` prints it.
    pub fn explain(&self) -> String {
        let [first, second] = self.end.letters().map(char::from);
        let mut out = format!("{}: {}\n\n", self.code, self.label);
        let _ = write!(out, "What happened: {}.\nNext:          {}\n", self.sentence, sentence_end(self.next));
        let _ = write!(out, "Fault:         {}\nStatus:        ", self.fault.label());
        let _ = match self.status {
            Some(status) => writeln!(out, "{status}, unless a rule names another or a response had begun"),
            None => writeln!(out, "none is sent for it"),
        };
        let _ = writeln!(out, "Letters:       {first}{second}");
        if let Some(token) = self.proxy_status {
            let _ = writeln!(out, "Proxy-Status:  {token}");
        }
        out
    }
}

fn sentence_end(text: &str) -> String {
    if text.ends_with('?') { text.to_owned() } else { format!("{text}.") }
}

/// The page `docs/manual/reasons.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Reasons: why a request or a connection ended\n\n\
         Every request (HTTP) and connection (TCP) ends with one reason of this list. It is in the JSON log (`reason`, `reason_code`, `fault`, `explanation`, `next_step`), \
         in the metric\n`evenkeel_transactions_ended_total{reason=\"...\"}`, on the stats page under \"Why requests failed\", in `/api/v1/stats` (`process.failures`), and in the \
         answer itself\nwhen `option.proxy-status` asks for it. `evenkeel errors` shows the most frequent ones of a running process, `evenkeel explain EV200` one entry.\n\n\
         Codes and words stay what they are. The first digit says whose fault it was. \"Status\" is what the client gets when nothing of a response was sent yet; a rule may \
         name another, and `-`\nmeans that the connection closes without one. The letters are [HAProxy's](logs.md#termination-letters). The last column is the error type of \
         RFC 9209.\n\n\
         Printed from the table of the program by `EVENKEEL_BLESS=1 cargo test -p evenkeel-frontend`; a test fails when it is out of date.\n",
    );
    let groups = [
        (Fault::Nobody, "EV0: nothing failed"),
        (Fault::Client, "EV1: the client, or its network"),
        (Fault::Server, "EV2: the server, or the way to it"),
        (Fault::Operator, "EV3: the configuration, its rules and limits, and those of the machine"),
        (Fault::Proxy, "EV4: Evenkeel"),
        (Fault::Admin, "EV5: somebody took servers out of service"),
    ];
    for (fault, title) in groups {
        let _ = write!(
            out,
            "\n## {title}\n\n| code | reason | what happened | what to do next | status | letters | `error=` |\n|---|---|---|---|---|---|---|\n"
        );
        for e in End::all().filter(|e| e.fault == fault) {
            let status = e.status.map_or("-".to_owned(), |s| s.to_string());
            let [first, second] = e.end.letters().map(char::from);
            let token = e.proxy_status.map_or("-".to_owned(), |t| format!("`{t}`"));
            let _ = writeln!(
                out,
                "| {} | `{}` | {} | {} | {status} | `{first}{second}` | {token} |",
                e.code, e.label, e.sentence, e.next
            );
        }
    }
    index(
        &mut out,
        "By status",
        "status",
        "The answers that Evenkeel makes itself; `-` is no answer, or one that had begun.",
        |e| e.status.map_or("-".to_owned(), |status| status.to_string()),
    );
    index(&mut out, "By termination letters", "letters", "The first two letters in HAProxy's log formats.", |e| {
        let [first, second] = e.end.letters().map(char::from);
        format!("`{first}{second}`")
    });
    out
}

/// A table from what an entry has to all entries that have it.
fn index(out: &mut String, title: &str, column: &str, says: &str, of: impl Fn(&Entry) -> String) {
    let _ = write!(out, "\n## {title}\n\n{says}\n\n| {column} | reasons |\n|---|---|\n");
    let mut keys: Vec<String> = End::all().map(&of).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let reasons: Vec<_> =
            End::all().filter(|e| of(e) == key).map(|e| format!("`{}` ({})", e.label, e.code)).collect();
        let _ = writeln!(out, "| {key} | {} |", reasons.join(", "));
    }
}
