"""From push to publication: ``loop`` joins watch, drive (plan, launch, collect), publish and notify."""
