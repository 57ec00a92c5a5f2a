//! Transactions of writers.

use crate::support::both;
use sea_orm::ConnectionTrait;

// Nothing of it stays: what its connection writes next is committed, and seen by others.
both!(a_transaction_whose_beginning_is_given_up_is_rolled_back, |database| {
    let db = database.connect().await;
    for number in 0..16 {
        let mut beginning = Box::pin(db.begin());
        // The database is asked, and its answer is not waited for.
        drop(futures::poll!(&mut beginning));
        drop(beginning);
        let table = format!("CREATE TABLE written_after_{number} (id INTEGER)");
        db.writer().execute_unprepared(&table).await.unwrap();
        let read = format!("SELECT id FROM written_after_{number}");
        db.reader().execute_unprepared(&read).await.expect("committed");
    }
});
