//! The bytes: one message type and the HTTP/1 codec.
//!
//! Owns [`Buf`], [`Head`], [`Framing`], [`Decoder`] and the body framing. Called by every crate that looks at a message.
//! Pure and sans-I/O: no clock, no runtime, no sibling. Bytes from the network never panic here and never allocate
//! without bound. RFC 9110 and 9112, strict.
#![forbid(unsafe_code)]

mod buf;
mod head;

pub use buf::Buf;
pub use head::Head;
