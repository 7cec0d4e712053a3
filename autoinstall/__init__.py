"""Answers for the installers of Proxmox machines."""
