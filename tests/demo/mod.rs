//! The demo, as a stranger starts it: piped, so that it prints plain lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest wait for a line.
const LINE: Duration = Duration::from_secs(120);
/// Longest wait for its end.
const END: Duration = Duration::from_secs(30);

/// A demo under way, with a temporary folder of its own.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    told: String,
    temporary: tempfile::TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().expect("make a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_profile-mirror"));
        command.args(["demo", "--port", "0"]).args(arguments).env("TMPDIR", temporary.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start the demo");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (told, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        Self { child, lines, told: String::new(), temporary }
    }

    /// Reads on until a line has this in it.
    fn wait_for(&mut self, part: &str) {
        let deadline = Instant::now() + LINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.told.push_str(&line);
                    self.told.push('\n');
                    if line.contains(part) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("it does not tell {part:?} but\n{}", self.told)
                }
            }
        }
    }

    /// What `/readyz?strict=1` answers, head and all, at the address that it told.
    fn readiness(&self) -> String {
        let after = self.told.rsplit_once("http://").expect("an address").1;
        let address = after.split('/').next().unwrap_or_default();
        let mut connection = TcpStream::connect(address).expect("connect");
        let request = format!("GET /readyz?strict=1 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).expect("ask");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("its answer");
        answer
    }

    /// Presses Ctrl-C; it must end in order and leave nothing behind.
    fn interrupt(mut self) {
        let asked = Command::new("kill").arg("-INT").arg(self.child.id().to_string()).status().expect("run kill");
        assert!(asked.success(), "it is gone already:\n{}", self.told);
        let deadline = Instant::now() + END;
        let status = loop {
            match self.child.try_wait().expect("ask for its status") {
                Some(status) => break status,
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                None => panic!("it does not end:\n{}", self.told),
            }
        };
        assert!(status.success(), "it ended with {status}:\n{}", self.told);
        let left: Vec<_> = std::fs::read_dir(self.temporary.path()).expect("list the folder").collect();
        assert!(left.is_empty(), "it left {left:?} behind:\n{}", self.told);
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_syncs_repairs_a_lost_webhook_carries_a_plan_out_and_follows_live_changes() {
    let mut demo = Demo::start(&["--profiles", "120", "--live", "20"]);
    demo.wait_for("▸ ");
    demo.wait_for("▸ ");
    let told = demo.told.clone();
    for expected in [
        "Mirrored ",
        "crm done: ",
        "the mirror   OPEN     wrong",
        "the mirror   CLOSED   right again",
        "It would change:",
        "1  created",
        "1  updated",
        "No list names ",
        " deleted",
        "/console#key=",
        "/graphiql#key=",
    ] {
        assert!(told.contains(expected), "it does not tell {expected:?} but\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "nothing for terminals where there is none: {told:?}");
    demo.interrupt();
}

#[test]
fn the_webhooks_that_get_lost_leave_every_source_well() {
    let mut demo = Demo::start(&["--profiles", "120", "--live", "0"]);
    demo.wait_for("Nothing changes upstream");
    let ready = demo.readiness();
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    demo.interrupt();
}

#[test]
fn ctrl_c_ends_the_demo_in_order_at_any_moment_and_leaves_no_folder_behind() {
    for moment in
        ["profile-mirror demo", "The mirror is", "A first full sync", "A webhook gets lost", "It would change"]
    {
        let mut demo = Demo::start(&["--profiles", "2000", "--live", "0"]);
        demo.wait_for(moment);
        demo.interrupt();
    }
}
