"""The label ids of Cityscapes that scenes hold."""

from __future__ import annotations

from enum import IntEnum


class Id(IntEnum):
    """A label id of the label space ``cityscapes``."""

    EGO_VEHICLE = 1
    STATIC = 4
    DYNAMIC = 5
    ROAD = 7
    SIDEWALK = 8
    PARKING = 9
    RAIL_TRACK = 10
    BUILDING = 11
    WALL = 12
    FENCE = 13
    POLE = 17
    TRAFFIC_LIGHT = 19
    TRAFFIC_SIGN = 20
    VEGETATION = 21
    TERRAIN = 22
    SKY = 23
    PERSON = 24
    RIDER = 25
    CAR = 26
    TRUCK = 27
    BUS = 28
    TRAIN = 31
    MOTORCYCLE = 32
    BICYCLE = 33
