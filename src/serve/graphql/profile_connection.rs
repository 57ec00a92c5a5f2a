//! Pages of profiles, as they are now and as they were.

use super::fault::Answer;
use super::paging;
use super::past;
use super::profile::Profile;
use super::source::source_of;
use crate::mirror::read::{Key, Order, PastPage, Place, Predicate, Reader, Slice};
use ::entity::profile;
use async_graphql::connection::PageInfo;
use async_graphql::{ComplexObject, Context, SimpleObject};
use std::sync::Arc;

/// A page of profiles.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct ProfileConnection {
    /// The profiles with their cursors, in order.
    edges: Vec<ProfileEdge>,
    #[graphql(skip)]
    has_previous: bool,
    #[graphql(skip)]
    has_next: bool,
    #[graphql(skip)]
    predicate: Option<Predicate>,
    /// Of a page of the past: where it ends.
    #[graphql(skip)]
    past: Option<Option<String>>,
}

/// A profile with its cursor.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct ProfileEdge {
    /// The profile.
    node: Profile,
    #[graphql(skip)]
    order: Arc<[Order]>,
}

#[ComplexObject]
impl ProfileEdge {
    /// Hand it back as `after` or `before` to go on from here; it holds after a restart too.
    async fn cursor(&self) -> String {
        self.to_cursor()
    }
}

impl ProfileEdge {
    /// Written when it is asked for: most answers hold profiles without cursors.
    fn to_cursor(&self) -> String {
        paging::encode("profile", &(&self.order[..], Place::of(&self.node.row, &self.order)))
    }
}

#[ComplexObject]
impl ProfileConnection {
    /// The profiles without their cursors, in order.
    async fn nodes(&self) -> Vec<&Profile> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// What is before and behind this page.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous,
            has_next_page: self.has_next,
            start_cursor: self.edges.first().map(ProfileEdge::to_cursor),
            end_cursor: match &self.past {
                None => self.edges.last().map(ProfileEdge::to_cursor),
                Some(end) => end.clone(),
            },
        }
    }

    /// How many profiles pass the filter in all. Counted only where it is asked for; profiles of the past are not counted.
    async fn total_count(&self, ctx: &Context<'_>) -> Answer<i64> {
        if self.past.is_some() {
            return Err(past::uncounted());
        }
        let count = ctx.data_unchecked::<Reader>().count_profiles(self.predicate.as_ref()).await?;
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

/// The cursor of a profile in an order holds the order too, so that it cannot be used in another.
pub(super) type ProfilePlace = (Vec<Order>, Place);

impl ProfileConnection {
    pub(super) async fn new(
        ctx: &Context<'_>,
        slice: Slice<profile::Model>,
        order: &[Order],
        predicate: Option<Predicate>,
    ) -> Answer<Self> {
        let order: Arc<[Order]> = order.into();
        let mut edges = Vec::with_capacity(slice.rows.len());
        for row in slice.rows {
            if let Some(node) = Profile::new(ctx, Arc::new(row)).await? {
                edges.push(ProfileEdge { node, order: Arc::clone(&order) });
            }
        }
        Ok(Self { edges, has_previous: slice.has_previous, has_next: slice.has_next, predicate, past: None })
    }

    /// A page of the past, which ends at the last profile that was looked at, whether it passed the filter or not.
    pub(super) async fn in_past(ctx: &Context<'_>, page: PastPage, has_previous: bool) -> Answer<Self> {
        let order: Arc<[Order]> = Arc::default();
        let mut edges = Vec::with_capacity(page.rows.len());
        for past in page.rows {
            let source = source_of(ctx, past.row.source_id).await?;
            edges.push(ProfileEdge { node: Profile::in_past(past, source), order: Arc::clone(&order) });
        }
        let end = page.looked_at.map(|id| paging::encode("profile", &(&order[..], Place(vec![Key::Number(id)]))));
        Ok(Self { edges, has_previous, has_next: page.has_next, predicate: None, past: Some(end) })
    }
}
