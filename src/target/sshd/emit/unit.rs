//! The unit of the jump server, where a machine says `serve` (systemd.service(5), systemd.exec(5)).
//!
//! It starts without a right but to listen below 1024, which it gives up with the rest (`bastion::serve::sandbox`); what
//! systemd takes away beside that holds where the kernel has neither landlock nor seccomp.

/// `fwc-bastion.service`, for a server that runs as this user.
#[must_use]
pub fn unit(uid: u32) -> String {
    format!(
        "\
# Written by fwc from the policy: change that.
[Unit]
Description=Jump server of the policy (fwc bastion serve)
After=network.target

[Service]
Type=exec
ExecStart=/usr/bin/fwc bastion serve /etc/ssh/fwc --host-key %d/host_key
ExecReload=/bin/kill -HUP $MAINPID
LoadCredential=host_key:/etc/ssh/ssh_host_ed25519_key
User={uid}
Group={uid}
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
TimeoutStopSec=45
Restart=on-failure
RestartSec=2
LimitNOFILE=65536
LimitCORE=0
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallErrorNumber=EPERM
UMask=0077

[Install]
WantedBy=multi-user.target
"
    )
}
