//! A seeded world behind the three providers' REST APIs and signed webhooks, with faults.
