//! The acls that exist without being defined; an acl of the same name in the file wins.

/// One entry of the table of predefined acls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predefined {
    /// Name.
    pub name: &'static str,
    /// What it stands for, as an acl.
    pub text: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

macro_rules! predefined {
    ($($name:literal $text:literal, $doc:literal;)*) => {
        /// Every predefined acl.
        pub static PREDEFINED: &[Predefined] = &[$(Predefined { name: $name, text: $text, doc: $doc }),*];
    };
}

predefined! {
    "FALSE" "always_false", "Never holds.";
    "HTTP" "req.proto_http", "What the client sent is an HTTP request.";
    "HTTP_1.0" "req.ver 1.0", "The request is HTTP/1.0.";
    "HTTP_1.1" "req.ver 1.1", "The request is HTTP/1.1.";
    "HTTP_2.0" "req.ver 2.0", "The request is HTTP/2.";
    "HTTP_3.0" "req.ver 3.0", "The request is HTTP/3.";
    "HTTP_CONTENT" "req.hdr_val(content-length) gt 0", "The request announces a body by its length.";
    "HTTP_URL_ABS" "url_reg '^[^/:]*://'", "The request target is an absolute URL.";
    "HTTP_URL_SLASH" "url_beg /", "The request target begins with a slash.";
    "HTTP_URL_STAR" "url *", "The request target is `*`.";
    "LOCALHOST" "src 127.0.0.0/8 ::1", "The client is on this machine.";
    "METH_CONNECT" "method CONNECT", "The method is CONNECT.";
    "METH_DELETE" "method DELETE", "The method is DELETE.";
    "METH_GET" "method GET HEAD", "The method is GET or HEAD.";
    "METH_HEAD" "method HEAD", "The method is HEAD.";
    "METH_OPTIONS" "method OPTIONS", "The method is OPTIONS.";
    "METH_POST" "method POST", "The method is POST.";
    "METH_PUT" "method PUT", "The method is PUT.";
    "METH_TRACE" "method TRACE", "The method is TRACE.";
    "RDP_COOKIE" "req.rdp_cookie_cnt gt 0", "The first packet of RDP has a cookie.";
    "REQ_CONTENT" "req.len gt 0", "The client has sent something.";
    "TRUE" "always_true", "Always holds.";
    "WAIT_END" "wait_end", "The inspection delay is over; until then the rule waits.";
}

/// The predefined acl named `name`.
pub(crate) fn find(name: &str) -> Option<&'static Predefined> {
    PREDEFINED.binary_search_by(|entry| entry.name.cmp(name)).ok().map(|index| &PREDEFINED[index])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(PREDEFINED.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(find("METH_GET").unwrap().text, "method GET HEAD");
    }
}
