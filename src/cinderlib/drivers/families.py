"""Vendors and product families: the names that people use for a driver.

Cinder identifies its drivers by class, while a storage engineer searches for "powermax", "netapp"
or "dell". A class belongs to a family because of its package or module in Cinder. Therefore a
class that a later release of Cinder adds is found too.
"""

from __future__ import annotations

import dataclasses
import functools
import re


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """Drivers for one product family.

    :ivar module: package or module that contains the classes, below ``cinder.volume.drivers``.
    :ivar name: short name of the family, and the first part of the drivers' short names.
    :ivar words: other names that people search for: earlier names, series, acquired companies.
    """

    module: str
    name: str
    vendor: str
    product: str
    words: tuple[str, ...] = ()

    def contains(self, path: str) -> bool:
        """Whether the class with this full path is a driver of this family."""
        module = path.rpartition(".")[0].removeprefix(_PACKAGE)
        rest = module.removeprefix(self.module)
        return module.startswith(self.module) and (not rest or rest[0] in "._")


_PACKAGE = "cinder.volume.drivers."
#: A protocol in the name of a class, and in a short name.
_PROTOCOLS = (
    (re.compile(r"FC(?=[A-Z]|$)|FibreChannel"), "fc"),
    (re.compile(r"ISCSI|Iscsi"), "iscsi"),
    (re.compile(r"NVM"), "nvme"),
    (re.compile(r"NFS|Nfs"), "nfs"),
    (re.compile(r"Drbd"), "drbd"),
    (re.compile(r"Remote"), "remote"),
)

FAMILIES = (
    Family("cinderlib.drivers.file", "file", "cinderlib", "Files in a folder", ("loop", "local")),
    Family("ceph.rbd_iscsi", "rbd_iscsi", "Ceph", "RBD over iSCSI", ("ibm", "red hat")),
    Family("rbd", "rbd", "Ceph", "RBD", ("ibm", "red hat", "rados")),
    Family("datacore", "datacore", "DataCore", "SANsymphony"),
    Family("datera", "datera", "Datera", "Data Services Platform"),
    Family("dell_emc.powerflex", "powerflex", "Dell", "PowerFlex", ("emc", "scaleio", "vxflex")),
    Family("dell_emc.powermax", "powermax", "Dell", "PowerMax", ("emc", "vmax", "symmetrix")),
    Family("dell_emc.powerstore", "powerstore", "Dell", "PowerStore", ("emc",)),
    Family("dell_emc.powervault", "powervault", "Dell", "PowerVault ME", ("emc", "me4", "me5")),
    Family("dell_emc.sc", "dell_sc", "Dell", "SC Series", ("emc", "compellent", "storage center")),
    Family("dell_emc.unity", "unity", "Dell", "Unity", ("emc", "unity xt")),
    Family("dell_emc.vnx", "vnx", "Dell", "VNX", ("emc", "clariion")),
    Family("dell_emc.xtremio", "xtremio", "Dell", "XtremIO", ("emc",)),
    Family("fujitsu.eternus_dx", "eternus", "Fujitsu", "ETERNUS DX and AF", ("fsas",)),
    Family("fungible", "fungible", "Fungible", "Storage Cluster"),
    Family("fusionstorage", "fusionstorage", "Huawei", "FusionStorage", ("oceanstor pacific",)),
    Family("hedvig", "hedvig", "Hedvig", "Distributed Storage Platform", ("commvault",)),
    Family("hitachi", "hitachi", "Hitachi", "VSP", ("vantara", "hbsd", "hds")),
    Family("hpe.alletramp_driver", "alletra_mp", "HPE", "Alletra MP B10000", ("hp",)),
    Family(
        "hpe.hpe_3par", "hpe_3par", "HPE", "3PAR and Primera", ("hp", "storeserv", "alletra 9000")
    ),
    Family("hpe.nimble", "nimble", "HPE", "Nimble", ("hp", "alletra 5000", "alletra 6000")),
    Family("hpe.xp", "hpe_xp", "HPE", "XP", ("hp",)),
    Family("san.hp", "hpe_msa", "HPE", "MSA", ("hp", "hpmsa")),
    Family("huawei", "huawei", "Huawei", "OceanStor", ("dorado",)),
    Family("ibm.gpfs", "gpfs", "IBM", "Storage Scale", ("gpfs", "spectrum scale")),
    Family("ibm.ibm_storage", "ibm_storage", "IBM", "DS8000 and XIV", ("ds8k", "a9000")),
    Family(
        "ibm.storwize_svc",
        "storwize",
        "IBM",
        "FlashSystem, Storwize and SAN Volume Controller",
        ("svc", "storage virtualize", "spectrum virtualize"),
    ),
    Family("infinidat", "infinidat", "Infinidat", "InfiniBox"),
    Family("infortrend", "infortrend", "Infortrend", "EonStor", ("gs", "ds")),
    Family("inspur.as13000", "as13000", "Inspur", "AS13000", ("ieit",)),
    Family("inspur.instorage", "instorage", "Inspur", "InStorage", ("ieit", "as5500")),
    Family("kaminario", "kaminario", "Kaminario", "K2", ("silk",)),
    Family("kioxia", "kumoscale", "Kioxia", "KumoScale"),
    Family("lenovo", "lenovo", "Lenovo", "S and DS Series", ("s3200", "ds6200")),
    Family("lightos", "lightos", "Lightbits", "LightOS"),
    Family("linstordrv", "linstor", "LINBIT", "LINSTOR", ("drbd",)),
    Family("lvm", "lvm", "Linux", "LVM", ("lio", "iscsi target", "nvmet")),
    Family("macrosan", "macrosan", "MacroSAN", "MS Series"),
    Family("nec.v", "nec_v", "NEC", "Storage V Series"),
    Family("nec.volume", "nec_m", "NEC", "Storage M Series"),
    Family("netapp", "netapp", "NetApp", "ONTAP", ("fas", "aff", "asa", "data ontap", "cmode")),
    Family("solidfire", "solidfire", "NetApp", "SolidFire", ("element", "hci")),
    Family("nexenta.ns5", "nexentastor5", "Nexenta", "NexentaStor 5", ("ddn", "tintri")),
    Family("nexenta", "nexentastor4", "Nexenta", "NexentaStor 4", ("ddn", "tintri")),
    Family("nfs", "nfs", "Linux", "NFS", ("shares",)),
    Family("open_e", "jovian", "Open-E", "JovianDSS", ("zfs",)),
    Family("prophetstor", "prophetstor", "ProphetStor", "Federator", ("dpl", "flexvisor")),
    Family("pure", "pure", "Pure Storage", "FlashArray", ("purestorage",)),
    Family("qnap", "qnap", "QNAP", "QTS and QES"),
    Family("quobyte", "quobyte", "Quobyte", "Quobyte"),
    Family("rsd", "rsd", "Intel", "Rack Scale Design"),
    Family("sandstone", "sandstone", "SandStone", "SDS"),
    Family("spdk", "spdk", "SPDK", "NVMe-oF target", ("intel",)),
    Family("storpool", "storpool", "StorPool", "StorPool"),
    Family("synology", "synology", "Synology", "DSM", ("diskstation",)),
    Family("toyou.acs5000", "acs5000", "TOYOU", "ACS5000"),
    Family("toyou.tyds", "tyds", "TOYOU", "TYDS"),
    Family("vastdata", "vast", "VAST Data", "VAST"),
    Family("veritas_access", "veritas_access", "Veritas", "Access"),
    Family("veritas_cnfs", "veritas_cnfs", "Veritas", "Clustered NFS"),
    Family("vmstore", "vmstore", "Tintri", "VMstore", ("ddn",)),
    Family("vmware.fcd", "vmware_fcd", "VMware", "First Class Disks", ("vsphere", "vcenter")),
    Family("vmware.vmdk", "vmware_vmdk", "VMware", "VMDK", ("vsphere", "vcenter", "vsan")),
    Family("vzstorage", "vzstorage", "Virtuozzo", "Storage", ("acronis", "ploop")),
    Family("yadro", "tatlin", "YADRO", "TATLIN.UNIFIED"),
    Family("zadara", "zadara", "Zadara", "VPSA"),
)


@functools.cache
def of(path: str) -> Family | None:
    """The family of the class with this full path; None if it does not belong to a family."""
    return next((family for family in FAMILIES if family.contains(path)), None)


def protocol(path: str) -> str | None:
    """The protocol in the name of a class, for example ``fc``; None if the name has none."""
    name = path.rpartition(".")[2]
    return next((word for pattern, word in _PROTOCOLS if pattern.search(name)), None)


def match(path: str, text: str) -> bool:
    """Whether a search for this text finds the class with this full path.

    Each word of the text must be the beginning of a name of the class, its family, vendor, product
    or protocol. Case, ``-`` and ``_`` are ignored.
    """
    known = _words_of(path)
    wanted = _split(text)
    return bool(wanted) and all(any(k.startswith(word) for k in known) for word in wanted)


@functools.cache
def _words_of(path: str) -> frozenset[str]:
    name = path.rpartition(".")[2]
    found = {name, protocol(path) or "", path.removeprefix(_PACKAGE)}
    family = of(path)
    if family is not None:
        found |= {family.name, family.vendor, family.product, *family.words}
    whole = {text.casefold().replace(" ", "") for text in found}
    return frozenset(whole | {word for text in found for word in _split(text)}) - {""}


def _split(text: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", text.casefold()) if word]
