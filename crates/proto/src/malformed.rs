//! Why a message is refused: a closed list of facts.
//!
//! Each has the status a request is answered with, a label for metrics and logs, and a sentence for people. A response
//! that is refused is always answered with 502, so [`Malformed::status`] is about requests.

use std::fmt;

macro_rules! malformed {
    ($($(#[doc = $doc:literal])+ $variant:ident = $label:literal, $status:literal, $sentence:literal;)+) => {
        /// A fact about the bytes that made them unacceptable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Malformed {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Malformed {
            /// Every variant, in the order of the reference.
            pub const ALL: &'static [Malformed] = &[$(Malformed::$variant),+];

            /// The status a request with this fault is answered with.
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $(Malformed::$variant => $status,)+
                }
            }

            /// A stable `snake_case` label.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Malformed::$variant => $label,)+
                }
            }

            /// What is wrong, as a sentence without a subject: "has two Host fields".
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Malformed::$variant => $sentence,)+
                }
            }
        }
    };
}

malformed! {
    /// A line ends with LF alone (RFC 9112 §2.2).
    BareLf = "bare_lf", 400, "has a line that ends with LF instead of CR LF";
    /// A CR that no LF follows (RFC 9112 §2.2).
    BareCr = "bare_cr", 400, "has a CR that is not followed by LF";
    /// The method is not a token followed by one space.
    BadMethod = "bad_method", 400, "has a method that is not a token";
    /// The target is empty, has bytes outside VCHAR or a form its method does not allow (RFC 9112 §3.2).
    BadTarget = "bad_target", 400, "has an invalid request target";
    /// The target holds a `#`.
    FragmentInTarget = "fragment_in_target", 400, "has a fragment in the request target";
    /// The version is not HTTP/1.x.
    BadVersion = "bad_version", 400, "has a version other than HTTP/1.x";
    /// The HTTP/2 preface came to an HTTP/1 parser.
    Http2Preface = "http2_preface", 405, "is the HTTP/2 preface";
    /// The status line is not `HTTP/1.x SP 3DIGIT [SP reason]` with a code from 100 to 599.
    BadStatusLine = "bad_status_line", 400, "has an invalid status line";
    /// A field line starts with a blank: obsolete line folding (RFC 9112 §5.2).
    ObsFold = "obs_fold", 400, "has a folded field line";
    /// A blank follows the field name, where only a colon may (RFC 9112 §5.1).
    SpaceBeforeColon = "space_before_colon", 400, "has a blank after a field name";
    /// A field name is empty, is no token, or has no colon.
    BadFieldName = "bad_field_name", 400, "has an invalid field name";
    /// A field value holds NUL, CR or another control character.
    BadFieldValue = "bad_field_value", 400, "has a control character in a field value";
    /// The target is longer than `Limits::max_uri`.
    TargetTooLong = "target_too_long", 414, "has a request target that is longer than the limit";
    /// More fields than `Limits::max_headers`.
    TooManyFields = "too_many_fields", 431, "has more fields than the limit";
    /// The head does not end within `Limits::max_head` or within the block.
    HeadTooLarge = "head_too_large", 431, "has a head that is larger than the limit";
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    MissingHost = "missing_host", 400, "has no Host field";
    /// More than one Host.
    DuplicateHost = "duplicate_host", 400, "has more than one Host field";
    /// Host, or the authority in the target, is not `host [":" port]`.
    BadHost = "bad_host", 400, "has an invalid host name or port";
    /// Host names another host than the target.
    HostMismatch = "host_mismatch", 400, "has a Host field that differs from the request target";
    /// Content-Length is not a decimal number below 2^63.
    BadContentLength = "bad_content_length", 400, "has an invalid Content-Length";
    /// Content-Lengths differ.
    ConflictingContentLength = "conflicting_content_length", 400, "has Content-Length values that differ";
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.1).
    LengthAndTransferEncoding = "length_and_transfer_encoding", 400, "has both Content-Length and Transfer-Encoding";
    /// Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1).
    TransferEncodingInHttp10 = "transfer_encoding_in_http10", 400, "has Transfer-Encoding in an HTTP/1.0 message";
    /// The transfer coding is not exactly one `chunked`.
    BadTransferEncoding = "bad_transfer_encoding", 422, "has a Transfer-Encoding other than chunked";
    /// A body where recipients disagree whether there may be one: CONNECT, or HTTP/1.0 GET, HEAD and DELETE.
    BodyNotAllowed = "body_not_allowed", 413, "has a body that its method does not allow";
    /// The Connection fields list more options than anybody needs.
    TooManyConnectionOptions = "too_many_connection_options", 400, "has too many options in its Connection field";
    /// The chunk size is not 1 to 16 hexadecimal digits followed by an extension or CR LF.
    BadChunkSize = "bad_chunk_size", 400, "has an invalid chunk size";
    /// A chunk above `MAX_CHUNK`.
    ChunkTooLarge = "chunk_too_large", 413, "has a chunk that is larger than 2 GiB";
    /// A chunk extension above `MAX_CHUNK_EXTENSION`.
    ChunkExtensionTooLong = "chunk_extension_too_long", 400, "has a chunk extension that is longer than the limit";
    /// The chunk's data is not followed by CR LF.
    BadChunkEnd = "bad_chunk_end", 400, "has a chunk that does not end where its size says";
    /// A trailer line is no field line.
    BadTrailer = "bad_trailer", 400, "has an invalid trailer field";
    /// Trailers above `MAX_TRAILERS`.
    TrailersTooLarge = "trailers_too_large", 431, "has trailers that are larger than the limit";
    /// The peer closed before the end of the body.
    TruncatedBody = "truncated_body", 400, "ended before its body was complete";
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the message {}", self.sentence())
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::Malformed;

    #[test]
    fn labels_are_unique_and_statuses_are_client_errors() {
        for (i, m) in Malformed::ALL.iter().enumerate() {
            assert!((400..500).contains(&m.status()), "{m:?}");
            assert!(m.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{m:?}");
            assert!(!Malformed::ALL[..i].iter().any(|o| o.as_str() == m.as_str()), "{m:?}");
        }
    }
}
