//! The schema that is checked in is the one that the code has.

#[test]
fn the_schema_file_is_the_code_s() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
    let file = std::fs::read_to_string(path).unwrap_or_default();
    let is_equal = file == profile_mirror::serve::graphql::sdl();
    assert!(is_equal, "run: cargo run -- schema > schema.graphql, and note the change in CHANGELOG.md");
}
