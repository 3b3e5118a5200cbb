//! The bytes: one message type and the HTTP/1 codec.
//!
//! Owns [`Buf`], [`Head`], [`Framing`] and the body [`Decoder`]. Called by every crate that looks at a message.
//! Pure and sans-I/O: no clock, no runtime, no sibling. Bytes from the network never panic here and never allocate
//! without bound. Strict in the sense of RFC 9110 and RFC 9112: what two recipients could read in two ways is refused.
#![forbid(unsafe_code)]

pub mod base64;
mod body;
mod buf;
mod edit;
mod encode;
mod framing;
mod head;
pub mod hello;
mod kinds;
mod malformed;
mod name;
mod parse;
pub mod proxy;
mod target;

pub use body::{Decoded, Decoder, MAX_CHUNK, MAX_CHUNK_EXTENSION, MAX_TRAILERS, chunk_header, last_chunk};
pub use buf::Buf;
pub use edit::{BadEdit, FieldLine, MAX_EDITS};
pub use head::Head;
pub use hello::{ClientHello, Hello};
pub use kinds::{Connection, Framing, Limits, MAX_FIELDS, Method, Parsed, Version};
pub use malformed::Malformed;
pub use name::{FieldName, is_value as is_field_value};
