//! The statistics as CSV, byte for byte in HAProxy's layout (management manual 9.1).
//!
//! Owns: the text behind `;csv`. Each line, the header included, ends with a comma, and the cell after the last
//! contractual column is `-`, which HAProxy uses to mark where its own extras begin. Tools read cells by position.

use evenkeel_stats::catalog::{CATALOG, COLUMNS};

use crate::values::{Value, rows};
use crate::view::View;

/// All rows of `view`, those of one proxy together.
pub fn render(view: &View) -> String {
    let columns = &CATALOG[..COLUMNS];
    let mut out = String::with_capacity(2048 + 512 * rows(view).count());
    out.push_str("# ");
    for name in columns.iter().filter_map(|e| e.column) {
        out.push_str(name);
        out.push(',');
    }
    out.push_str("-,\n");
    for row in rows(view) {
        for entry in columns {
            match row.value(entry) {
                Value::Blank => {}
                Value::Number(n) => out.push_str(&n.to_string()),
                Value::Count(n) => out.push_str(&n.to_string()),
                Value::Text(s) => push_cell(&mut out, &s),
            }
            out.push(',');
        }
        out.push_str("-,\n");
    }
    out
}

/// A cell is quoted only when its text would end it; an inner quote is doubled.
fn push_cell(out: &mut String, text: &str) {
    if !text.contains(['"', ',', '\r', '\n']) {
        return out.push_str(text);
    }
    out.push('"');
    for c in text.chars() {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sample;

    /// The header of HAProxy 3.x up to its contractual end, kept apart from the catalogue on purpose.
    const HEADER: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,\
        wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,\
        rate,rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,\
        hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,\
        lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration,check_desc,\
        agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,\
        conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,\
        src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,\
        need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,srid,sess_other,h1sess,\
        h2sess,h3sess,req_other,h1req,h2req,h3req,proto,priv_idle_cur,reqbin,reqbout,resbin,resbout,\
        cache_hint_hits,-,";

    /// Splits a line as a CSV reader does.
    fn cells(line: &str) -> Vec<String> {
        let (mut out, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => out.push(std::mem::take(&mut cell)),
                c => cell.push(c),
            }
        }
        assert!(cell.is_empty(), "a line ends with a comma: {line}");
        out
    }

    #[test]
    fn header_and_width() {
        let text = render(&sample::view());
        let mut lines = text.lines();
        assert_eq!(lines.next().unwrap(), HEADER);
        let mut rows = 0;
        for line in lines {
            assert_eq!(cells(line).len(), 120, "{line}");
            rows += 1;
        }
        assert_eq!(rows, crate::values::rows(&sample::view()).count());
    }

    #[test]
    fn blank_and_zero_as_haproxy_prints_them() {
        let text = render(&sample::view());
        let names = cells(HEADER.trim_start_matches("# "));
        let cell = |px: &str, sv: &str, column: &str| {
            let row = text.lines().map(|l| l.split(',').map(str::to_owned).collect::<Vec<_>>());
            let row = row.into_iter().find(|r| r[0] == px && r[1] == sv).unwrap();
            row[names.iter().position(|n| n == column).unwrap()].clone()
        };
        for (px, sv, column, want) in [
            ("www", "FRONTEND", "status", "OPEN"),
            ("www", "FRONTEND", "qcur", ""),
            ("www", "FRONTEND", "type", "0"),
            ("www", "FRONTEND", "rate_lim", "0"),
            ("app", "app2", "status", "DOWN"),
            ("app", "app2", "check_status", "L7STS"),
            ("app", "app2", "check_code", "503"),
            ("app", "app2", "check_desc", "Layer7 wrong status"),
            ("app", "app2", "last_chk", "Service Unavailable"),
            ("app", "app3", "status", "UP 1/3"),
            ("app", "app1", "qlimit", ""),
            ("app", "app1", "slim", "200"),
            ("app", "app1", "hanafail", ""),
            ("app", "app1", "dreq", ""),
            ("app", "BACKEND", "dreq", "0"),
            ("app", "BACKEND", "type", "1"),
            ("app", "BACKEND", "ereq", ""),
            ("app", "BACKEND", "agg_server_status", "0"),
            ("assets", "edge1", "status", "no check"),
            ("assets", "edge1", "chkfail", ""),
            ("assets", "edge1", "chkdown", ""),
            ("assets", "edge1", "downtime", ""),
            ("postgres", "FRONTEND", "hrsp_2xx", ""),
            ("postgres", "FRONTEND", "intercepted", ""),
            ("postgres", "FRONTEND", "req_tot", "0"),
            ("postgres", "BACKEND", "req_tot", ""),
            ("postgres", "replica", "lastsess", "-1"),
            ("postgres", "primary", "mode", "tcp"),
        ] {
            assert_eq!(cell(px, sv, column), want, "{px}/{sv} {column}");
        }
    }

    #[test]
    fn a_hostile_cell_stays_one_cell() {
        for text in ["a,b", "say \"no\"", "two\nlines", "cr\rlf", "plain"] {
            let mut out = String::new();
            push_cell(&mut out, text);
            out.push(',');
            assert_eq!(cells(&out), [text]);
        }
        let mut out = String::new();
        push_cell(&mut out, "no need to quote: 'x'; y");
        assert!(!out.contains('"'));
    }
}
