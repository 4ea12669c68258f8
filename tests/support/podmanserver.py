"""The stand-in cluster (tests/support/apiserver.py) with a kubelet that runs pods in their real images, by podman, as
their manifest says: user, read-only root, capabilities, privileges, volumes. A pod may have the network of one
container, in which nothing is but an S3 server, or none.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from apiserver import ApiServer, Object

PODMAN = shutil.which("podman")


class PodmanServer(ApiServer):
    """`network`: the container whose network the pods share that may have one."""

    def __init__(self, folder: Path, network: str) -> None:
        super().__init__(folder)
        self.network = network
        self.pods: list[str] = []

    def __exit__(self, *arguments: object) -> None:
        super().__exit__(*arguments)
        subprocess.run([str(PODMAN), "rm", "--force", "--ignore", *self.pods], capture_output=True)

    def start(self, job: Object, container: Object, pod: str, index: int | None) -> "subprocess.Popen[bytes]":
        template = job["spec"]["template"]
        spec, inner = template["spec"], container["securityContext"]
        assert inner["readOnlyRootFilesystem"] and not inner["allowPrivilegeEscalation"]
        assert inner["capabilities"] == {"drop": ["ALL"]} and not spec["automountServiceAccountToken"]
        online = template["metadata"]["labels"]["tidemill/network"] == "remote"
        user = spec["securityContext"]
        self.pods.append(pod)
        words = [
            *(str(PODMAN), "run", "--rm", "--name", pod, "--pull=never", "--log-driver", "none"),
            *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
            *("--user", f"{user['runAsUser']}:{user['runAsGroup']}", "--shm-size", "1g"),
            *("--network", f"container:{self.network}" if online else "none"),
            *(f"--env={key}={value}" for key, value in self.environment(container, index).items()),
            *(word for mount in container["volumeMounts"] for word in self.mount(spec, mount, pod)),
            *("--entrypoint", json.dumps(container["command"])),
            *(container["image"], *container["args"]),
        ]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def environment(self, container: Object, index: int | None) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container["envFrom"]:
            if reference := source.get("configMapRef"):
                found |= self.wait_for("configmaps", reference["name"])["data"]
            else:  # the Secret
                found |= {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
        found |= {entry["name"]: entry.get("value", str(index)) for entry in container["env"]}
        return found | ({} if index is None else {"JOB_COMPLETION_INDEX": str(index)})

    def mount(self, spec: Object, mount: Object, pod: str) -> list[str]:
        (volume,) = [volume for volume in spec["volumes"] if volume["name"] == mount["name"]]
        end = ":ro" if mount.get("readOnly") else ""
        if "configMap" in volume:
            folder = self.folder / "maps" / volume["configMap"]["name"]
            self.write(folder, self.wait_for("configmaps", volume["configMap"]["name"])["data"])
        elif "emptyDir" in volume:
            if mount["mountPath"] == "/dev/shm":  # by --shm-size
                return []
            return ["--tmpfs", f"{mount['mountPath']}:rw,exec,mode=1777"]
        else:
            claim = volume.get("persistentVolumeClaim")
            if claim:
                self.wait_for("persistentvolumeclaims", claim["claimName"])
            folder = self.folder / ("volumes/" + claim["claimName"] if claim else "ephemeral/" + pod)
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, -1, spec["securityContext"]["fsGroup"])
            folder.chmod(0o2775)
        return ["--volume", f"{folder}:{mount['mountPath']}{end}"]

    @staticmethod
    def write(folder: Path, data: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in data.items():
            (folder / name).write_text(text)
