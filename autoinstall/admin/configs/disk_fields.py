"""The part of the guided form that says where the system goes."""

from __future__ import annotations

from django import forms

from autoinstall.admin.configs.fields import (
    ChoiceField,
    NumberField,
    RadioField,
    RowsField,
    WordsField,
    one_of,
)
from autoinstall.documents import BtrfsFilesystem, ZfsFilesystem

LVM, ZFS, BTRFS = (("filesystem", kinds) for kinds in ("ext4 xfs", "zfs", "btrfs"))


class DiskFields(forms.Form):
    filesystem = ChoiceField(
        "Filesystem",
        "ext4 and xfs take one disk, on LVM. zfs and btrfs take one or more, as a RAID.",
        [("ext4", "ext4"), ("xfs", "xfs"), ("zfs", "zfs"), ("btrfs", "btrfs (preview)")],
    )
    zfs_raid = ChoiceField(
        "RAID",
        "RAID0 also for one disk; RAID1 needs 2, RAID10 4, RAIDZ-1 3, RAIDZ-2 4, RAIDZ-3 5 of them.",
        one_of(ZfsFilesystem, "raid", unset="Choose a level"),
        when=ZFS,
    )
    btrfs_raid = ChoiceField(
        "RAID",
        "RAID0 also for one disk; RAID1 needs 2 and RAID10 4 of them.",
        one_of(BtrfsFilesystem, "raid", unset="Choose a level"),
        when=BTRFS,
    )
    disk_mode = RadioField(
        "Disks",
        "All data on them is lost.",
        [("fixed", "These, by name"), ("filter", "Those that a filter matches")],
    )
    disk_list = WordsField(
        "Names of the disks",
        "With blanks between them, without /dev/.",
        example="sda sdb",
        when=("disk_mode", "fixed"),
    )
    disk_filter = RowsField(
        "Disk filter",
        "Udev properties and patterns that tell the disks, such as ID_MODEL = SAMSUNG*.",
        what="a filter",
        key="Property",
        value="Pattern",
        examples=("ID_MODEL", "SAMSUNG*"),
        suggestions="disk-properties",
        when=("disk_mode", "filter"),
    )
    disk_filter_match = ChoiceField(
        "A disk is taken when",
        "With all, a disk that lacks one of the properties counts as a match, too.",
        [("", "any entry matches (default)"), ("any", "any entry matches"), ("all", "all match")],
        when=("disk_mode", "filter"),
    )
    lvm_hdsize = NumberField(
        "hdsize, GiB", "How much of the disk is used. Unset: all of it.", example="200", when=LVM
    )
    lvm_swapsize = NumberField(
        "swapsize, GiB", "For swap; at most half of hdsize. 0: none.", example="8", when=LVM
    )
    lvm_maxroot = NumberField(
        "maxroot, GiB", "The most that the root volume gets.", example="60", when=LVM
    )
    lvm_maxvz = NumberField(
        "maxvz, GiB",
        "The most that the data volume gets. 0: no such volume.",
        example="100",
        when=LVM,
    )
    lvm_minfree = NumberField(
        "minfree, GiB", "Left free in the volume group, for snapshots.", example="16", when=LVM
    )
    zfs_hdsize = NumberField(
        "hdsize, GiB", "How much of each disk is used. Unset: all of it.", example="200", when=ZFS
    )
    zfs_ashift = NumberField(
        "ashift", "Block size as a power of two: 12 is 4 KiB.", example="12", when=ZFS
    )
    zfs_arc_max = NumberField(
        "arc-max, MiB", "The most memory that the cache takes, from 64.", example="8192", when=ZFS
    )
    zfs_copies = NumberField(
        "copies", "How often each block is written, 1 to 3.", example="1", when=ZFS
    )
    zfs_compress = ChoiceField(
        "Compression",
        "on is lz4.",
        one_of(ZfsFilesystem, "compress"),
        when=ZFS,
    )
    zfs_checksum = ChoiceField(
        "Checksum", "How blocks are verified.", one_of(ZfsFilesystem, "checksum"), when=ZFS
    )
    btrfs_hdsize = NumberField(
        "hdsize, GiB", "How much of each disk is used. Unset: all of it.", example="200", when=BTRFS
    )
    btrfs_compress = ChoiceField(
        "Compression",
        "Unset it is off.",
        one_of(BtrfsFilesystem, "compress"),
        when=BTRFS,
    )
