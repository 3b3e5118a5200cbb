//! The reading half of a connection: sorts frames by stream, answers what asks for an answer, notes what is against the rules.

use std::io::{self, Write};

use super::{Event, Shared, Stream, lock};
use crate::client::End;
use crate::frames::{Frame, Framed, flag, invalid, kind, setting};
use crate::hpack::Field;

impl Shared {
    /// Reads to the end of the connection.
    pub(super) fn read(&self, mut framed: Framed) {
        let end = self.frames(&mut framed);
        let mut state = self.lock();
        if let Err(e) = end {
            state.faults.push(e.to_string());
        }
        let closed = framed.wire().ended() == Some(io::ErrorKind::UnexpectedEof);
        state.ended = Some(if closed { End::Closed } else { End::Reset });
        drop(state);
        self.changed.notify_all();
    }

    fn frames(&self, framed: &mut Framed) -> io::Result<()> {
        if self.server {
            let rest = framed.wire().exactly(6, None)?;
            if rest != b"SM\r\n\r\n" {
                return Err(invalid("the preface is cut short"));
            }
        }
        let mut first = true;
        while let Some(frame) = framed.next(None)? {
            if std::mem::take(&mut first) && frame.kind != kind::SETTINGS {
                self.fault("the first frame is not SETTINGS");
            }
            if frame.kind == kind::HEADERS {
                let (id, end) = (frame.stream, frame.has(flag::END_STREAM));
                let fields = framed.fields(frame)?;
                self.head(id, fields, end);
            } else {
                self.frame(frame)?;
            }
            self.changed.notify_all();
        }
        Ok(())
    }

    fn fault(&self, what: impl Into<String>) {
        self.lock().faults.push(what.into());
    }

    fn head(&self, id: u32, fields: Vec<Field>, end: bool) {
        let mut state = self.lock();
        let new = id > state.highest;
        if new {
            state.highest = id;
            state.opened += 1;
            if !self.server {
                state.faults.push(format!("HEADERS on stream {id}, which nobody opened"));
            }
        }
        let (initial, grants) = (state.initial, state.grants);
        let stream =
            state.streams.entry(id).or_insert_with(|| Stream { window: initial, granted: grants, ..Stream::default() });
        let late = stream.ended;
        let trailers = stream.head;
        stream.head |= !fields.iter().any(|(n, v)| n == b":status" && v.starts_with(b"1"));
        stream.ended |= end;
        let said = crate::strict::check(&fields, self.server, trailers, end);
        stream.events.push_back(if trailers { Event::Trailers(fields) } else { Event::Head(fields) });
        if late {
            state.faults.push(format!("HEADERS on stream {id} after its end"));
        }
        state.faults.extend(said.map(|s| format!("stream {id}: {s}")));
        if new && self.server {
            state.incoming.push_back(id);
        }
    }

    fn frame(&self, frame: Frame) -> io::Result<()> {
        let mut state = self.lock();
        let id = frame.stream;
        match frame.kind {
            kind::DATA => {
                let length = frame.payload.len() as i64;
                state.granted -= length;
                let content = frame.content().to_vec();
                let mut faults = Vec::new();
                if state.granted < 0 {
                    faults.push("DATA beyond the window of the connection".to_owned());
                }
                let padding = frame.payload.len() - content.len();
                let highest = state.highest;
                match state.streams.get_mut(&id) {
                    // It was let go of; what it brings is given back at once, for the others.
                    None if id <= highest => state.granted += length,
                    None => faults.push(format!("DATA on stream {id}, which is not open")),
                    Some(stream) => {
                        stream.granted -= length;
                        if stream.granted < 0 {
                            faults.push(format!("DATA beyond the window of stream {id}"));
                        }
                        if stream.ended {
                            faults.push(format!("DATA on stream {id} after its end"));
                        }
                        if !content.is_empty() {
                            stream.events.push_back(Event::Data(content));
                        }
                        stream.ended |= frame.has(flag::END_STREAM);
                        stream.granted += padding as i64;
                    }
                }
                state.faults.append(&mut faults);
                drop(state);
                if padding > 0 {
                    let frames = [Frame::window(0, padding as u32), Frame::window(id, padding as u32)];
                    let _ = lock(&self.out).write_all(&frames.iter().flat_map(Frame::bytes).collect::<Vec<u8>>());
                }
            }
            kind::RST_STREAM if id > state.highest => {
                state.faults.push(format!("RST_STREAM on stream {id}, which is idle"));
            }
            kind::RST_STREAM => {
                if let Some(stream) = state.streams.get_mut(&id) {
                    stream.reset = Some(frame.code());
                }
            }
            kind::SETTINGS if !frame.has(flag::ACK) => {
                for (id, value) in frame.settings_list() {
                    match id {
                        setting::INITIAL_WINDOW_SIZE => {
                            let change = i64::from(value) - state.initial;
                            state.initial += change;
                            state.streams.values_mut().for_each(|s| s.window += change);
                        }
                        setting::MAX_FRAME_SIZE => state.max_frame = value as usize,
                        _ => {}
                    }
                }
                state.settings = Some(frame.settings_list());
                drop(state);
                let _ = lock(&self.out).write_all(&Frame::new(kind::SETTINGS, flag::ACK, 0, []).bytes());
            }
            kind::PING if frame.has(flag::ACK) => state.pongs += 1,
            kind::PING => {
                drop(state);
                let _ = lock(&self.out).write_all(&Frame::new(kind::PING, flag::ACK, 0, frame.payload).bytes());
            }
            kind::GOAWAY => state.goaway = Some((frame.word(0) & 0x7fff_ffff, frame.code())),
            kind::WINDOW_UPDATE if id == 0 => state.window += i64::from(frame.word(0)),
            kind::WINDOW_UPDATE => {
                if let Some(stream) = state.streams.get_mut(&id) {
                    stream.window += i64::from(frame.word(0));
                }
            }
            kind::PUSH_PROMISE => {
                drop(state);
                return Err(invalid("PUSH_PROMISE, although nobody may push"));
            }
            kind::CONTINUATION => {
                drop(state);
                return Err(invalid("CONTINUATION without HEADERS"));
            }
            _ => {}
        }
        Ok(())
    }
}
