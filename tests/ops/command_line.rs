//! The command line against the running program, as an operator at a shell has it.

use super::open_people;
use crate::support::binary::{Program, Setup};
use crate::support::{both, place, world};
use serde_json::{Value, json};
use simulator::Simulator;
use std::process::Output;

/// The program, and a shell beside it.
struct Shell {
    simulator: Simulator,
    setup: Setup,
    program: Program,
}

impl Shell {
    async fn open(database: &crate::support::place::TestDatabase) -> Self {
        let simulator = world::start(7, 60).await;
        let setup = Setup::new(&simulator, database);
        let program = setup.start(None);
        Self { simulator, setup, program }
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(self.setup.command(arguments));
        command.env("PROFILE_MIRROR_URL", format!("http://{}", self.program.address));
        let deadline = std::time::Duration::from_secs(60);
        tokio::time::timeout(deadline, command.output()).await.expect("it ends in time").expect("run the program")
    }

    /// What it prints, with the exit code that it must have.
    async fn say(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
        if code == 1 { err.into_owned() } else { out.into_owned() }
    }
}

both!(an_operator_syncs_plans_explains_and_replays_from_a_shell, |database| {
    let shell = Shell::open(&database).await;
    let synced = shell.say(0, &["sync", "crm", "--wait"]).await;
    assert!(synced.contains("DONE") && synced.contains("created"), "{synced}");

    let ids = open_people(&shell.simulator);
    shell.simulator.parallel().silently().close(&ids[0]).unwrap();
    shell.simulator.parallel().silently().vanish(&ids[1]).unwrap();
    let planned = shell.say(3, &["sync", "crm", "--plan"]).await;
    assert!(planned.contains("1  closed") && planned.contains(&ids[0]), "{planned}");
    assert!(planned.contains("No list names 1 records") && planned.contains(&ids[1]), "{planned}");
    let name = planned
        .lines()
        .find_map(|line| line.strip_prefix("Carry it out: profile-mirror runs apply "))
        .expect("what next");
    let applied = shell.say(0, &["runs", "apply", name]).await;
    assert!(applied.contains(name), "{applied}");
    let again = shell.say(1, &["runs", "apply", name]).await;
    assert!(again.contains("RUN_STATE_CONFLICT") && again.contains("docs/runbook.md"), "{again}");
    until_done(&shell, name).await;

    let told = shell.say(0, &["explain", &format!("crm/{}", ids[0])]).await;
    assert!(told.contains("is CLOSED") && told.contains("RULE") && told.contains("closed"), "{told}");
    let json: Value =
        serde_json::from_str(&shell.say(0, &["explain", &format!("crm/{}", ids[0]), "--json"]).await).unwrap();
    assert_eq!(json["profile"]["status"], "CLOSED");
    // The same, a page at a time, as each page says.
    let all = json["explainProfile"]["nodes"].as_array().unwrap().len();
    let mut shown = 0;
    let mut next = Some(vec!["explain".to_owned(), format!("crm/{}", ids[0]), "--first".to_owned(), "1".to_owned()]);
    while let Some(command) = next {
        let page = shell.say(0, &command.iter().map(String::as_str).collect::<Vec<_>>()).await;
        shown += 1;
        let more = page.lines().find_map(|line| line.strip_prefix("... older ones: profile-mirror "));
        next = more.map(|more| more.split(' ').map(str::to_owned).collect());
    }
    assert_eq!(shown, all, "{told}");
    let unknown = shell.say(1, &["explain", "crm/nobody"]).await;
    assert!(unknown.contains("crm/nobody"), "{unknown}");

    let counted = shell.say(0, &["replay", "--source", "crm", "--dry-run"]).await;
    assert!(counted.contains("would go through apply"), "{counted}");
    let replayed: Value = serde_json::from_str(&shell.say(0, &["replay", "--source", "crm", "--json"]).await).unwrap();
    assert!(replayed["count"].as_i64() > Some(2), "{replayed}");

    let listed = shell.say(0, &["runs", "list", "crm"]).await;
    assert!(listed.starts_with("RUN") && listed.contains(name), "{listed}");
    let one = shell.say(0, &["sync", "crm", "--profile", &ids[0], "--wait", "--json"]).await;
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!((&one["state"], &one["kind"]), (&Value::from("DONE"), &Value::from("NAMED")));
});

both!(who_decides_at_a_shell_sees_how_many_wait_and_which, |database| {
    let shell = Shell::open(&database).await;
    shell.say(0, &["sync", "crm", "--wait"]).await;
    let gone: Vec<_> = open_people(&shell.simulator).into_iter().take(6).collect();
    for person in &gone {
        shell.simulator.parallel().silently().vanish(person).unwrap();
    }
    let synced = shell.say(3, &["sync", "crm", "--wait"]).await;
    assert!(synced.contains("WAITING_FOR_APPROVAL"), "{synced}");
    let listed = shell.say(0, &["runs", "list", "crm", "--first", "1"]).await;
    let name = listed.split_whitespace().find(|word| word.starts_with("crm/")).expect("the newest run");
    let shown = shell.say(3, &["runs", "show", name]).await;
    assert!(shown.lines().any(|line| line.contains("would delete") && line.ends_with(" 6")), "{shown}");
    assert!(gone.iter().all(|person| shown.contains(person)), "{shown}");
    shell.say(0, &["runs", "reject", name]).await;
    assert!(!shell.say(0, &["runs", "show", name]).await.contains("would delete"));
});

/// Waits until a run is done, as a script would.
async fn until_done(shell: &Shell, name: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let shown: Value = serde_json::from_str(&shell.say(0, &["runs", "show", name, "--json"]).await).unwrap();
        if shown["state"] == "DONE" {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{shown:#}");
    }
}

both!(a_shell_is_told_what_is_wrong_and_what_to_do, |database| {
    let shell = Shell::open(&database).await;
    let unknown = shell.say(1, &["sync", "nobody"]).await;
    assert!(unknown.contains("BAD_USER_INPUT") && unknown.contains("nobody"), "{unknown}");
    let nowhere = shell.say(1, &["sync", "crm", "--url", "http://127.0.0.1:1"]).await;
    assert!(nowhere.contains("--url"), "{nowhere}");
    assert!(shell.say(1, &["runs", "show", "crm/999"]).await.contains("runs list"));
    assert!(shell.say(1, &["runs", "approve", "crm/999"]).await.contains("BAD_USER_INPUT"));
    for wrong in
        [&["sync"][..], &["replay"], &["runs", "judge", "crm/1"], &["sync", "crm", "--type", "1", "--profile", "2"]]
    {
        assert_eq!(shell.run(wrong).await.status.code(), Some(2), "{wrong:?}");
    }
    let mut command = tokio::process::Command::from(shell.setup.command(&["sync", "crm"]));
    command.env("PROFILE_MIRROR_URL", format!("http://{}", shell.program.address)).env("PROFILE_MIRROR_KEY", "wrong");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("PROFILE_MIRROR_KEY"));
});

both!(migrations_are_told_to_programs_and_every_command_takes_a_configuration_file, |database| {
    let bare = tokio::task::spawn_blocking(move || place::without_schema(database.dialect)).await.unwrap();
    let setup = Setup::new(&world::start(7, 0).await, &bare);
    let file = setup.file().to_str().unwrap().to_owned();
    let run = async |arguments: &[&str]| {
        let output = tokio::process::Command::from(setup.command(arguments)).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let migrate = async |action: &str| -> Value {
        serde_json::from_str(&run(&["migrate", action, "--json", "--config", &file]).await).unwrap()
    };
    let missing = migrate("status").await;
    assert_eq!((&missing["isUpToDate"], &missing["applied"]), (&Value::from(false), &json!([])));
    let applied = migrate("up").await;
    assert_eq!((&applied["isUpToDate"], &applied["applied"]), (&Value::from(true), &missing["pending"]));
    assert_eq!(migrate("status").await, json!({ "isUpToDate": true, "applied": [], "pending": [] }));
    assert_eq!(run(&["schema", "--config", &file]).await, run(&["schema"]).await);
    assert!(run(&["demo", "--help"]).await.contains("--config"));
});
