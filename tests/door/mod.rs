//! What the senders of webhooks are answered, and what becomes of what they sent.

mod answers;
mod repeated;
mod slow;
mod unknown;
