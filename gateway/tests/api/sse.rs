//! A client of `GET /v1/events` that reads one event at a time.

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use testkit::{DEADLINE, rest::Rest};

/// One event of a server-sent event stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// The `id` field of this event; None if the event has no `id` line.
    pub(crate) id: Option<String>,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

/// An open event stream.
pub(crate) struct Stream {
    pub(crate) response: Response,
    buffer: String,
    /// The `retry` field in milliseconds.
    pub(crate) retry_ms: Option<u64>,
    /// The number of comments received so far.
    pub(crate) comments: usize,
}

impl Stream {
    pub(crate) async fn open(rest: &Rest, last: Option<&str>) -> Self {
        let response = Self::request(rest, last).await;
        assert_eq!(response.status(), StatusCode::OK);
        Self::of(response)
    }

    pub(crate) fn of(response: Response) -> Self {
        Self { response, buffer: String::new(), retry_ms: None, comments: 0 }
    }

    pub(crate) async fn request(rest: &Rest, last: Option<&str>) -> Response {
        let mut request = rest.request(Method::GET, "/v1/events").header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send().await.expect("the gateway answers")
    }

    /// Reads the next event; None at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                if let Some(event) = self.block(&block) {
                    return Some(event);
                }
            }
            let chunk = tokio::time::timeout(DEADLINE, self.response.chunk())
                .await
                .expect("the gateway sends data before the deadline");
            let chunk = chunk.expect("the stream does not break")?;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("chunks end at character boundaries"));
        }
    }

    /// Reads until the next comment and skips events.
    pub(crate) async fn next_comment(&mut self) {
        let before = self.comments;
        while self.comments == before {
            let chunk = tokio::time::timeout(DEADLINE, self.response.chunk())
                .await
                .expect("the gateway sends data before the deadline");
            let chunk = chunk.expect("the stream does not break").expect("the stream goes on");
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("chunks end at character boundaries"));
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                self.block(&block);
            }
        }
    }

    fn block(&mut self, block: &str) -> Option<Event> {
        let (mut id, mut kind, mut data) = (None, "message".to_owned(), None);
        for line in block.lines() {
            match line.split_once(':').expect("a field") {
                ("", _) => self.comments += 1,
                ("retry", value) => self.retry_ms = Some(value.trim().parse().expect("a number")),
                ("id", value) => id = Some(value.trim().to_owned()),
                ("event", value) => kind = value.trim().to_owned(),
                ("data", value) => data = Some(serde_json::from_str(value).expect("JSON")),
                other => panic!("{other:?}"),
            }
        }
        Some(Event { id, kind, data: data? })
    }
}
