//! A network namespace: a machine of its own, as far as networks are concerned.
//!
//! A keeper, `cat` on a pipe, holds it open. The keeper ends with the pipe, and then the kernel takes away
//! the namespace with all its links. So nothing stays behind, even if the test is killed. A namespace is
//! called by the process of its keeper and has no name that two tests could both take.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

#[derive(Debug)]
pub struct Namespace {
    keeper: Child,
}

impl Namespace {
    /// Makes one whose programs read `hosts` as their `/etc/hosts`. All but the first of a laboratory belong
    /// to the same user as the first one, or they could not be linked.
    pub fn new(first: Option<&Self>, hosts: &Path) -> Result<Self, String> {
        let mut command = match first {
            _ if is_root() => Command::new("unshare"),
            None => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-root-user"]);
                command
            }
            Some(first) => {
                let mut command = Command::new("nsenter");
                command.args(["--target", &first.pid(), "--user"]);
                command.args(["--preserve-credentials", "unshare"]);
                command
            }
        };
        command
            .args(["--net", "--mount", "sh", "-ec", PREPARE, "sh"])
            .arg(hosts)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let keeper = command
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut made = Self { keeper };
        let mut ready = String::new();
        let stdout = made.keeper.stdout.take().expect("piped");
        let read = BufReader::new(stdout).read_line(&mut ready);
        if read.is_ok_and(|len| len > 0) {
            return Ok(made);
        }
        let mut why = String::new();
        let mut stderr = made.keeper.stderr.take().expect("piped");
        let _ = stderr.read_to_string(&mut why);
        Err(why.trim().to_owned())
    }

    /// How `ip` calls it.
    pub fn pid(&self) -> String {
        self.keeper.id().to_string()
    }

    /// A program in it. The command's process is the program itself.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid(), "--net", "--mount", "--wd"]);
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Has `ip` obey these lines.
    pub fn ip(&self, lines: &str) {
        self.feed(&["ip", "-batch", "-"], lines).expect("a network");
    }

    /// Has `nft` obey these lines.
    pub fn nft(&self, lines: &str) {
        self.feed(&["nft", "-f", "-"], lines).expect("rules");
    }

    /// What `nft` answers.
    pub fn ask_nft(&self, question: &str) -> String {
        self.feed(&["nft", question], "").expect("an answer")
    }

    /// Gives a program its input; gives what it says, or what it complains of.
    fn feed(&self, program: &[&str], input: &str) -> Result<String, String> {
        let mut command = self.command(program[0]);
        // Users other than root may not have the folder of such programs among their own.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        command
            .args(&program[1..])
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let failed = |error| format!("{}: {error}", program[0]);
        let mut child = command.spawn().map_err(failed)?;
        let mut stdin = child.stdin.take().expect("piped");
        // What a program has not read, because it failed, is told by its complaint.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {}\n{input}", program[0], complaint.trim()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Why no networks can be made here; nothing if they can.
pub fn forbidden() -> Option<&'static str> {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    WHY.get_or_init(|| tried().err()).as_deref()
}

/// Makes one of each thing that a laboratory is made of.
fn tried() -> Result<(), String> {
    let hosts = Path::new("/etc/hosts");
    let first = Namespace::new(None, hosts)?;
    let second = Namespace::new(Some(&first), hosts)?;
    let lines = format!(
        "link add lan type bridge\nlink add port type veth peer name wan netns {}\n",
        second.pid()
    );
    first.feed(&["ip", "-batch", "-"], &lines)?;
    let lines = super::network::tried();
    first.feed(&["nft", "-f", "-"], &lines)?;
    Ok(())
}

fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        let id = Command::new("id").arg("-u").output();
        id.is_ok_and(|output| output.stdout == b"0\n")
    })
}

/// What happens in each namespace before it is used. It forwards, whether it is a router or not; no address
/// waits to see whether another machine has it, too; and no router tells of a shorter way.
const PREPARE: &str = "
PATH=$PATH:/usr/sbin:/sbin
mount --bind \"$1\" /etc/hosts
ip link set lo up
cd /proc/sys/net
echo 1 >ipv4/ip_forward
echo 1 >ipv6/conf/all/forwarding
for conf in all default; do
    echo 0 >ipv4/conf/$conf/rp_filter
    echo 0 >ipv4/conf/$conf/send_redirects
    echo 0 >ipv6/conf/$conf/accept_dad
done
cd - >/dev/null
echo ready
exec cat
";
