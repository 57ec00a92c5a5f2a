//! The writing half of Copernica's REST API: 201 with `X-Created`, 204 with `X-deleted`.

use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::CopernicaSim;
use super::event::Parameters;
use super::world::InterestWrite;
use crate::context::{ProviderKind, Refusal};
use crate::http::{Answer, Call};
use crate::outbox::Subscription;

impl CopernicaSim {
    pub(super) fn write(&self, call: &Call) -> Result<Answer, Refusal> {
        let body = call.json();
        let method = call.method.as_str();
        match (method, call.segments().as_slice()) {
            ("POST", ["database", database, "profiles"]) => {
                let fields = text_map(&body["fields"]);
                let id = self.create(database, &fields, interest_write(&body["interests"]).as_ref())?;
                Ok(self.created("profile", &id))
            }
            ("DELETE", ["database", _, "profiles"]) => {
                let ids = body["profiles"].as_array().cloned().unwrap_or_default();
                for id in &ids {
                    self.delete(&text(id), false)?;
                }
                Ok(no_content())
            }
            ("PUT", ["profile", id]) => {
                self.update(id, &text_map(&body["fields"]), interest_write(&body["interests"]).as_ref())?;
                Ok(no_content())
            }
            ("PUT", ["profile", id, "fields"]) => {
                self.update(id, &text_map(&body), None)?;
                Ok(no_content())
            }
            ("PUT", ["profile", id, "interests"]) => {
                let names = match interest_write(list_in(&body)) {
                    Some(InterestWrite::Merge(flags)) => {
                        flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
                    }
                    Some(InterestWrite::Replace(names)) => names,
                    None => return Err(Refusal::because("Invalid data provided")),
                };
                self.update(id, &Vec::new(), Some(&InterestWrite::Replace(names)))?;
                Ok(no_content())
            }
            ("POST", ["profile", id, "interests"]) => {
                let flags = match interest_write(list_in(&body)) {
                    Some(InterestWrite::Replace(names)) => names.into_iter().map(|name| (name, true)).collect(),
                    Some(InterestWrite::Merge(flags)) => flags,
                    None => return Err(Refusal::because("Invalid data provided")),
                };
                self.update(id, &Vec::new(), Some(&InterestWrite::Merge(flags)))?;
                Ok(Answer::empty(StatusCode::CREATED))
            }
            ("DELETE", ["profile", id]) => {
                self.delete(id, is_yes(call, &body, "completely"))?;
                Ok(no_content().with_header("X-deleted", format!("profile {id}")))
            }
            ("PUT", ["profile", id, "unsubscribe"]) => {
                self.unsubscribe(id)?;
                Ok(no_content())
            }
            ("POST", ["profile", id, "subprofiles", collection]) => {
                let child = self.create_child(id, collection, &text_map(&body))?;
                Ok(self.created("subprofile", &child))
            }
            ("PUT", ["subprofile", id]) => {
                self.update_child(id, &text_map(&body["fields"]))?;
                Ok(no_content())
            }
            ("PUT", ["subprofile", id, "fields"]) => {
                self.update_child(id, &text_map(&body))?;
                Ok(no_content())
            }
            ("PUT", ["subprofile", id, "unsubscribe"]) => {
                self.state.lock().world.subprofile(id)?;
                Ok(no_content())
            }
            ("DELETE", ["subprofile", id]) => {
                self.delete_child(id, is_yes(call, &body, "completely"))?;
                Ok(no_content().with_header("X-deleted", format!("subprofile {id}")))
            }
            ("POST", ["webhooks"]) => self.register_webhook(&body),
            ("PUT", ["webhook", id]) => self.change_webhook(id, &body),
            ("DELETE", ["webhook", id]) => {
                if !self.context.outbox.unsubscribe(ProviderKind::Copernica, id) {
                    return Err(Refusal::because("No webhook with supplied ID"));
                }
                Ok(no_content().with_header("X-deleted", format!("webhook {id}")))
            }
            _ => Err(Refusal::because("Invalid method")),
        }
    }

    fn created(&self, kind: &str, id: &str) -> Answer {
        let location = format!("{}/{kind}/{id}", self.base_url());
        Answer::empty(StatusCode::CREATED).with_header("X-Created", id).with_header("X-location", location)
    }

    fn register_webhook(&self, body: &Value) -> Result<Answer, Refusal> {
        let (Some(url), Some(trigger)) = (body["handler"].as_str(), body["trigger"].as_str()) else {
            return Err(Refusal::because("Invalid data provided"));
        };
        let id = {
            let mut state = self.state.lock();
            state.webhooks_registered += 1;
            (1893 + state.webhooks_registered).to_string()
        };
        let scoped = |key: &str| (!body[key].is_null()).then(|| format!("{key}:{}", text(&body[key])));
        self.context.outbox.subscribe(Subscription {
            id: id.clone(),
            provider: ProviderKind::Copernica,
            url: url.to_owned(),
            events: Some([trigger.to_owned()].into()),
            scope: [scoped("database"), scoped("collection")].into_iter().flatten().collect(),
        });
        Ok(self.created("webhook", &id))
    }

    fn change_webhook(&self, id: &str, body: &Value) -> Result<Answer, Refusal> {
        let known = self.context.outbox.subscriptions(ProviderKind::Copernica).into_iter().find(|known| known.id == id);
        let mut known = known.ok_or_else(|| Refusal::because("No webhook with supplied ID"))?;
        self.context.outbox.unsubscribe(ProviderKind::Copernica, id);
        if let Some(url) = body["handler"].as_str() {
            known.url = url.to_owned();
        }
        if let Some(trigger) = body["trigger"].as_str() {
            known.events = Some([trigger.to_owned()].into());
        }
        self.context.outbox.subscribe(known);
        Ok(no_content())
    }
}

fn no_content() -> Answer {
    Answer::empty(StatusCode::NO_CONTENT)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(on) => u8::from(*on).to_string(),
        other => other.to_string(),
    }
}

fn text_map(value: &Value) -> Parameters {
    value
        .as_object()
        .map(|map| map.iter().map(|(name, value)| (name.clone(), text(value))).collect())
        .unwrap_or_default()
}

/// The list itself, or the one under `interests`.
fn list_in(body: &Value) -> &Value {
    body.get("interests").unwrap_or(body)
}

fn interest_write(value: &Value) -> Option<InterestWrite> {
    match value {
        Value::Array(names) => Some(InterestWrite::Replace(names.iter().map(text).collect())),
        Value::Object(map) => {
            let on = |value: &Value| !matches!(text(value).as_str(), "" | "0" | "false" | "no");
            Some(InterestWrite::Merge(map.iter().map(|(name, value)| (name.clone(), on(value))).collect()))
        }
        _ => None,
    }
}

fn is_yes(call: &Call, body: &Value, name: &str) -> bool {
    let given = call.query(name).map_or_else(|| text(&body[name]), str::to_owned);
    call.method == Method::DELETE && matches!(given.to_ascii_lowercase().as_str(), "yes" | "true" | "1")
}
