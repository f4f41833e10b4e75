# SPDX-License-Identifier: Apache-2.0
"""The machine: QEMU without KVM, Debian's own kernel, an NVMe disk, an IOMMU and pairs of NICs.

    +----------------------------- the machine -----------------------------+
    |  giro-engine on vfio-pci             client in a namespace of its own |
    |    00:04.0 e1000e ------------- hub ------------- 00:08.0 virtio-net  |
    |    00:05.0 vmxnet3 ------------ hub ------------- 00:09.0 virtio-net  |
    |    00:06.0 virtio-net --------- hub ------------- 00:0a.0 virtio-net  |
    |    00:07.0 e1000 -------------- hub ------------- 00:0b.0 virtio-net  |
    |  intel-iommu     nvme0n1 or vda: the log    9p: host's root, read-only|
    +-----------------------------------------------------------------------+

No hub leads out of the emulator. The kernel is a Debian package, fetched and unpacked, not installed.

A disk is a qcow2 image: where its data lies is noted in the emulator's memory, and goes to the file at
a flush. So killing the emulator takes back what was written and not flushed, as a loss of power does
with a disk's cache. The NVMe disk of QEMU 7.2 does not know FUA, with which Linux makes a write to an
NVMe disk durable: it would lose what any real one must keep. It flushes after each write instead, as a
disk whose cache has a battery. The virtio disk has a cache and is flushed by Linux when a write asks
for it: with it a write that forgot to ask is found out.
"""

import collections
import pathlib
import shutil
import signal
import subprocess
import tempfile

import network

HERE = pathlib.Path(__file__).resolve().parent

MEMORY_MIB = 2560
DISK_MIB = 1024

# driver: what the engine's start screen must call it. The two slots are the pair's PCI devices.
# queues: that the device has; the engine takes no more.
Pair = collections.namedtuple("Pair", "driver device engine_slot client_slot queues", defaults=(2,))
PAIRS = {
    "e1000e": Pair("net_e1000_em", "e1000e", 4, 8),
    "vmxnet3": Pair("net_vmxnet3", "vmxnet3", 5, 9),
    # Without iommu_platform a virtio device would go around the IOMMU.
    "virtio": Pair("net_virtio", "virtio-net-pci,disable-legacy=on,iommu_platform=on", 6, 10),
    # The driver says that an 82540EM has two.
    "e1000": Pair("net_e1000_em", "e1000", 7, 11, queues=1),
}

# options: of the image. device: its front. path: what the machine calls it.
Disk = collections.namedtuple("Disk", "options device path")
DISKS = {
    "nvme": Disk("cache=writethrough", "nvme,serial=giro", "/dev/nvme0n1"),
    "cached": Disk("cache=writeback", "virtio-blk-pci", "/dev/vda"),
}

MODULES = ("virtio_pci", "9pnet_virtio", "9p", "nvme", "virtio_blk", "virtio_net", "vfio_iommu_type1",
           "vfio-pci", "overlay")

# Huge pages of 1 GiB and an IOMMU that the kernel's own drivers pass by, as on metal.
KERNEL_ARGUMENTS = ("console=ttyS0 quiet panic=-1 intel_iommu=on iommu=pt "
                    "default_hugepagesz=1G hugepagesz=1G hugepages=1")


def pci_address(slot):
    return f"0000:00:{slot:02x}.0"


class Kernel:
    """Debian's newest kernel and an initramfs for it, kept in `folder` for the next run."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.image = folder / "vmlinuz"
        self.initramfs = folder / "initramfs"
        package = self._package()
        if not (folder / package).exists():
            self._fetch(folder, package)
        self.name = package
        self._pack(folder)

    @staticmethod
    def _package():
        text = subprocess.run(["apt-cache", "depends", "--important", "linux-image-amd64"],
                              text=True, stdout=subprocess.PIPE, check=True).stdout
        return next(line.split()[1] for line in text.splitlines() if "Depends:" in line)

    def _fetch(self, folder, package):
        """The image to `folder`, all modules to folder/PACKAGE."""
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            subprocess.run(["apt-get", "--quiet=2", "download", package], cwd=scratch, check=True)
            unpacked = pathlib.Path(scratch) / "unpacked"
            subprocess.run(["dpkg-deb", "--extract", next(pathlib.Path(scratch).glob("*.deb")),
                            unpacked], check=True)
            shutil.copyfile(next((unpacked / "boot").glob("vmlinuz-*")), self.image)
            modules = pathlib.Path(scratch) / package
            modules.mkdir()
            for file in (unpacked / "lib/modules").rglob("*.ko"):
                file.rename(modules / file.name)
            modules.rename(folder / package)

    def _pack(self, folder):
        """The initramfs: busybox, init, the modules in the order in which they can be loaded."""
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            root = pathlib.Path(scratch)
            (root / "bin").mkdir()
            (root / "modules").mkdir()
            shutil.copy("/bin/busybox", root / "bin")
            shutil.copy(HERE / "init", root / "init")
            (root / "init").chmod(0o755)
            order = []
            for module in MODULES:
                self._load_after(folder / self.name, module, order)
            for file in order:
                shutil.copy(folder / self.name / file, root / "modules")
            (root / "modules/order").write_text("".join(f"{file}\n" for file in order))
            files = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
            with open(self.initramfs, "wb") as out:
                subprocess.run(["cpio", "--quiet", "--create", "--format=newc"], cwd=root,
                               input=files.encode(), stdout=out, check=True)

    def _load_after(self, modules, name, order):
        """Adds a module's file to `order`, behind those that it says it needs."""
        file = next((spelling for spelling in (f"{name}.ko", f"{name.replace('_', '-')}.ko",
                                               f"{name.replace('-', '_')}.ko")
                     if (modules / spelling).exists()), None)
        if file is None or file in order:
            return  # built into the kernel, or there already
        text = (modules / file).read_bytes()
        start = text.index(b"\0depends=") + len(b"\0depends=")
        for needed in text[start:text.index(b"\0", start)].decode().split(","):
            if needed:
                self._load_after(modules, needed, order)
        order.append(file)


class Machine:
    """A machine with one of DISKS. The disk's image and the scratch folder outlive a boot.

    root: what the machine sees as its root."""

    def __init__(self, kernel, folder, disk, root="/"):
        self.kernel = kernel
        self.root = root
        self.folder = folder
        self.name = disk
        self.disk = DISKS[disk]
        self.image = folder / "disk.qcow2"
        self.scratch = folder / "scratch"
        self.console = folder / "console"
        self.process = None
        self.scratch.mkdir(parents=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.image, f"{DISK_MIB}M"],
                       check=True)

    def boot(self, command):
        """Starts the machine; it runs `command` on the root's files and goes off behind it."""
        (self.scratch / "command").write_text(command + "\n")
        self._boot("")

    def boot_system(self, command):
        """Starts the machine; the root's systemd runs `command`, and powers off behind it."""
        self._boot(f' giro.system systemd.run="{command}" systemd.journald.forward_to_console=1')

    def _boot(self, kernel_arguments):
        words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
                 "-no-reboot", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max",
                 "-smp", "2", "-m", f"{MEMORY_MIB}M",
                 "-device", "intel-iommu,intremap=on",
                 "-kernel", self.kernel.image, "-initrd", self.kernel.initramfs,
                 "-append", KERNEL_ARGUMENTS + kernel_arguments,
                 "-chardev", f"file,id=console,path={self.console},append=on",
                 "-serial", "chardev:console",
                 "-drive", f"if=none,id=log,format=qcow2,{self.disk.options},file={self.image}",
                 "-device", f"{self.disk.device},drive=log"]
        words += self._shared("host", self.root, "multidevs=remap,readonly=on")
        words += self._shared("scratch", self.scratch, "writeout=immediate")
        for number, pair in enumerate(PAIRS.values()):
            words += self._joined(number, f"engine{number}", pair.device, pair.engine_slot)
            words += self._joined(number, f"client{number}", "virtio-net-pci", pair.client_slot)
        with open(self.console, "ab") as log:
            self.process = subprocess.Popen(list(map(str, words)), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log,
                                            preexec_fn=network.die_with_parent)

    @staticmethod
    def _shared(tag, path, options):
        return ["-fsdev", f"local,id={tag},path={path},security_model=none,{options}",
                "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]

    @staticmethod
    def _joined(hub, name, device, slot):
        return ["-netdev", f"hubport,id={name},hubid={hub}",
                "-device", f"{device},netdev={name},addr={slot:#x},romfile="]

    def running(self):
        return self.process is not None and self.process.poll() is None

    def cut_power(self):
        """Nothing is told to the machine, nothing is flushed."""
        assert self.running(), f"the machine went off by itself:\n{self.last_words()}"
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def wait_off(self, seconds):
        self.process.wait(seconds)
        self.process = None

    def last_words(self):
        try:
            return self.console.read_text(errors="replace")[-3000:]
        except FileNotFoundError:
            return "(nothing on the console)"

    def close(self):
        if self.running():
            self.cut_power()
