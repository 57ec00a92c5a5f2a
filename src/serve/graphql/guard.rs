//! The role that a field needs, written at the field.

use super::{Code, Fault};
use crate::config::Role;
use crate::serve::Viewer;
use async_graphql::{Context, Guard};

/// Lets in viewers whose role reaches this one.
pub(crate) struct Needs(pub Role);

impl Guard for Needs {
    async fn check(&self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        require(ctx, self.0)?;
        Ok(())
    }
}

/// The viewer, where their role reaches this one.
pub(super) fn require<'a>(ctx: &Context<'a>, role: Role) -> Result<&'a Viewer, Fault> {
    match ctx.data_opt::<Viewer>() {
        None => Err(Fault::new(Code::Unauthenticated, "send an access key: Authorization: Bearer KEY")),
        Some(viewer) if viewer.may(role) => Ok(viewer),
        Some(viewer) => Err(Fault::new(
            Code::Forbidden,
            format!("this needs the role {}; key {} is {}", word(role), viewer.name, word(viewer.role)),
        )),
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Reader => "reader",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}
