//! Every event of the three providers, from the signed webhook to the GraphQL answer.

mod copernica;
mod fixtures;
mod getprofile;
mod imports;
mod parallel;
