//! How a described request ends: what a rule answers, what an error answers, and what the client gets of it.
//!
//! The second half of the engine, as `judge` and `reply` are of a transaction: the same answers, from the same code.

use std::sync::Arc;

use evenkeel_acl::{Cause, Close, Content, How, Phase, Reply};
use evenkeel_config::{self as config, ErrorPage, Mode};
use evenkeel_frontend::End;
use evenkeel_frontend::messages::Answer;
use evenkeel_proto::{Buf, Head, Limits, Method, Parsed};

use super::engine::{Engine, Final, Side};
use super::walk;

impl Engine<'_> {
    pub(super) fn end_request(&mut self, ended: Final<'_>) {
        match ended {
            Final::Close(close) => self.close(close),
            Final::Reply(reply) => {
                let (action, end) = match reply.cause {
                    Cause::Deny => ("deny", End::Denied),
                    Cause::Tarpit => ("tarpit", End::Tarpitted),
                    Cause::Auth => ("auth", End::Unauthorized),
                    Cause::FailedRewrite => ("error", End::RewriteFailed),
                    Cause::Redirect => ("redirect", End::Answered),
                    Cause::Return => ("return", End::Answered),
                    Cause::Exporter => ("service", End::Answered),
                };
                self.reply(action, end, &reply);
            }
        }
    }

    pub(super) fn end_response(&mut self, ended: Final<'_>) {
        match ended {
            Final::Close(close) => self.close(close),
            Final::Reply(reply) => {
                let (action, end) = match reply.cause {
                    Cause::Deny | Cause::Tarpit => ("deny", End::ResponseDenied),
                    Cause::Auth => ("auth", End::ResponseDenied),
                    Cause::FailedRewrite => ("error", End::ResponseRewriteFailed),
                    Cause::Redirect => ("redirect", End::Answered),
                    Cause::Return | Cause::Exporter => ("return", End::Answered),
                };
                self.reply(action, end, &reply);
            }
        }
    }

    fn reply(&mut self, action: &str, end: End, reply: &Reply<'_>) {
        self.end(action, end);
        self.walk.outcome.place = Some(reply.place.to_string());
        let (body, message) = match &reply.body {
            Content::Page => (None, None),
            Content::Bytes(bytes) => (Some(&**bytes), None),
            Content::Message(message) => (Some(&b""[..]), Some(*message)),
        };
        self.answer(Answer { headers: &reply.headers, body, message, ..Answer::error(reply.status) }, end);
    }

    pub(super) fn close(&mut self, close: Close<'_>) {
        match close.how {
            How::Reject => self.end("reject", End::Rejected),
            How::SilentDrop { .. } => self.end("silent-drop", End::SilentDropped),
        }
        self.walk.outcome.place = Some(close.place.to_string());
    }

    /// It failed, and the client gets the page of the end's status.
    pub(super) fn fail(&mut self, end: End) {
        self.end("error", end);
        // A connection in TCP mode just ends.
        if let Some(status) = end.status().filter(|_| self.front.mode == Mode::Http || self.switched) {
            self.answer(Answer::error(status), end);
        }
    }

    pub(super) fn end(&mut self, action: &str, end: End) {
        let entry = end.entry();
        self.scene.letters = format!("{}--", String::from_utf8_lossy(&end.letters()));
        self.outcome(action, entry.sentence, None);
        if end.is_error() {
            self.walk.outcome.code = Some(entry.code.to_owned());
            self.walk.outcome.reason = Some(entry.label.to_owned());
            self.walk.outcome.next_step = Some(entry.next.to_owned());
        }
    }

    pub(super) fn outcome(&mut self, action: &str, sentence: &str, place: Option<String>) {
        self.walk.outcome = walk::Outcome {
            action: action.to_owned(),
            sentence: sentence.to_owned(),
            place,
            ..walk::Outcome::default()
        };
    }

    /// An answer of our own: the configured page where there is one, then `http-after-response`.
    pub(super) fn answer(&mut self, answer: Answer<'_>, end: End) {
        let (front, back) = (self.front, self.back.clone());
        let plain = answer.body.is_none() && answer.message.is_none();
        let page = back.as_ref().and_then(|back| back.pages.get(answer.status));
        let page = page.or_else(|| front.pages.get(answer.status)).filter(|_| plain);
        let (elsewhere, described);
        let answer = match page {
            None => answer,
            Some(ErrorPage::Silent) => {
                self.walk.notes.push("its error page is an empty file: the connection closes without a word".into());
                return;
            }
            Some(ErrorPage::Message(page)) => Answer { message: Some(page), ..answer },
            Some(ErrorPage::Redirect { status, location }) => {
                elsewhere = [("Location".into(), location.as_bytes().to_vec())];
                Answer { status: *status, headers: &elsewhere, body: Some(&[]), ..answer }
            }
            Some(ErrorPage::Reply { reply, .. }) => {
                described = self.look(Phase::Request, |ctx| reply.reply(ctx));
                Answer::of(&described)
            }
        };
        let method = self.scene.request.method();
        let tells = front.option.proxy_status.then_some(end);
        let mut out = Vec::new();
        Answer { head_only: method == Method::Head, close: false, tells, ..answer }.write(&mut out);
        let mut head = Head::new();
        let mut block = Buf::with_capacity(out.len());
        block.extend_from_slice(&out);
        head.replace_block(block);
        // What we wrote is well-formed; a configured page may not be, and is then sent as it is.
        if !matches!(head.parse_response(&Limits::default(), method), Ok(Parsed::Complete)) {
            self.walk.notes.push("the configured page is no valid response".into());
            return;
        }
        let body = head.surplus().to_vec();
        self.scene.response = Some(head);
        self.last_word(back.as_ref());
        self.show("evenkeel", &body);
    }

    /// `http-after-response` on an answer of our own.
    pub(super) fn last_word(&mut self, back: Option<&Arc<config::Backend>>) {
        let front = self.front;
        let keyword = "http-after-response";
        if let Some(back) = back.filter(|back| !back.is_half_of(front)) {
            self.run(Side::Back, keyword, &back.http_after_response, Phase::Response);
        }
        self.run(Side::Front, keyword, &front.http_after_response, Phase::Response);
    }

    pub(super) fn show(&mut self, by: &str, body: &[u8]) {
        let Some(head) = &self.scene.response else { return };
        let mut answer = walk::Answer {
            by: by.to_owned(),
            status: head.status(),
            reason: String::from_utf8_lossy(head.reason()).into_owned(),
            headers: walk::fields(head),
            ..walk::Answer::default()
        };
        answer.set_body(body);
        self.walk.answer = Some(answer);
    }
}
