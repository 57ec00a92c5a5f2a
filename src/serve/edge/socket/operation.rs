//! One operation of a socket: runs it and hands its messages over.

use super::message::{errors_of, message};
use crate::publish::Cursor;
use crate::serve::edge::engine::{Answered, Engine, Prepared};
use crate::serve::edge::subscribed::Subscribed;
use async_graphql::parser::types::OperationType;
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};

/// What an operation hands over.
pub(super) struct Outgoing {
    pub id: String,
    /// Which operation of this id it was.
    pub number: u64,
    pub text: String,
    pub cursor: Option<Cursor>,
    pub is_last: bool,
}

/// Runs one operation and hands its messages over.
pub(super) struct Sender {
    pub id: String,
    pub number: u64,
    pub queue: mpsc::Sender<Outgoing>,
}

impl Sender {
    pub async fn run(mut self, engine: &Engine, prepared: Prepared) {
        if prepared.kind != OperationType::Subscription {
            let answered = Box::pin(engine.execute(prepared)).await;
            if answered.is_refused {
                return self.last("error", Some(&errors_of(&answered.json))).await;
            }
            if self.next(&answered).await {
                self.last("complete", None).await;
            }
            return;
        }
        let _subscribed = Subscribed::new();
        let mut answers = Box::pin(engine.subscribe(prepared));
        while let Some(answered) = answers.next().await {
            // Without data the stream is over: what it would go on with is not known.
            if answered.is_without_data {
                return self.last("error", Some(&errors_of(&answered.json))).await;
            }
            if !self.next(&answered).await {
                return;
            }
        }
        self.last("complete", None).await;
    }

    /// Hands an answer over; false where the socket is gone.
    async fn next(&mut self, answered: &Answered) -> bool {
        let text = message(&self.id, "next", Some(&answered.json));
        self.hand_over(text, answered.cursor.clone(), false).await
    }

    async fn last(&mut self, kind: &str, payload: Option<&str>) {
        let text = message(&self.id, kind, payload);
        self.hand_over(text, None, true).await;
    }

    async fn hand_over(&mut self, text: String, cursor: Option<Cursor>, is_last: bool) -> bool {
        let outgoing = Outgoing { id: self.id.clone(), number: self.number, text, cursor, is_last };
        self.queue.send(outgoing).await.is_ok()
    }
}
