"""RTC: maps refined from two representations and two views teach a segmentation branch on line."""

from __future__ import annotations

from tag2mask.methods.rtc.method import RTC as RTC
from tag2mask.methods.rtc.method import RTCOptions as RTCOptions
