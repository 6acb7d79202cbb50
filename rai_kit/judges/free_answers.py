"""Answers in free wording about the kit's passages, a faithful and an unfaithful one each, written by hand for measuring
groundedness.

Rewordings by rule (`corruptions`) keep a passage's words; people and models do not. Those on passages of odd place (in the order
of ids) are for the figures alone. All texts are our own.
"""

from __future__ import annotations

FREE_ANSWERS: tuple[tuple[str, str, str], ...] = (
    # (passage, faithful, unfaithful)
    (
        "archive-lost-novel",
        "Among the papers of a Corvane dentist someone came across a typed manuscript of 214 leaves by Ysolde Marrick. It"
        " lacks its title page, but a letter of hers points to the name The Second Orchard.",
        "The manuscript was handwritten by a dentist in Corvane and published in 1927 under the title The Second Orchard.",
    ),
    (
        "bank-tamber-accounts",
        "Customers now choose between two accounts. The Plain one is free of charge, while the Full one is 4 crowns a "
        "month unless you are younger than 24 or always keep at least 2,500 crowns.",
        "The bank has five kinds of account. The Plain account costs 4 crowns a month and its card can be used abroad.",
    ),
    (
        "clinic-larkmoor-hours",
        "You can have blood taken without booking if you come before 9:30. Do not eat beforehand; water is fine.",
        "Blood tests need an appointment, and you should have a light breakfast first. Parking costs two pounds an hour.",
    ),
    (
        "contract-mirelle-hall",
        "A parish club pays 45 crowns for an evening, and with the piano it comes to 60. Others have to pay 120.",
        "The hall costs 45 crowns for everybody. You may move the piano yourself and play music until one in the morning.",
    ),
    (
        "course-night-pottery",
        "There are only six wheels for eight people, so two of them work by hand until everyone swaps after the fifth evening.",
        "The course has eight wheels, one for each pupil, and the firing is included in the fee of 140 marks.",
    ),
    (
        "craft-quay-rope",
        "The walk has a slight bend because somebody refused to sell a pear tree. Rope was made there for almost two "
        "hundred years, from 1766 to 1961.",
        "The rope walk is perfectly straight. It was destroyed by a fire in 1889, and the pear tree burned with it.",
    ),
    (
        "election-lowmarsh",
        "Philippa Strand, a vet, is the new mayor. She beat Gunter Ashby by 27 votes in the second round.",
        "Gunter Ashby stays in office after a recount. He won the harbour quarter and the new estate.",
    ),
    (
        "festival-sorrel-lanterns",
        "It used to be in August but was moved to September in 2009, as it did not get dark early enough. The lanterns no"
        " longer float on the water since the tide once carried them into the oyster beds.",
        "The festival takes place every August. The lanterns are set afloat at the end, and the mayor gives a long speech.",
    ),
    (
        "handover-lamp-island",
        "The spare bulb is in the blue tin. You have 410 litres of diesel, enough for 19 days in winter.",
        "You will find the spare bulb in the locker. There is diesel for a month, and the boat comes every Friday.",
    ),
    (
        "history-dry-opera",
        "All the singers were missing that night: the tenor had fallen out with the director over a hat and the chorus "
        "followed him. So the orchestra played alone while the prompter read the words.",
        "The first night was cancelled because the tenor was ill. All 800 tickets had to be refunded.",
    ),
    (
        "history-ice-cellars",
        "Nineteen cellars lie below the high street. Ice from the mill pond was kept in them until 1902 or so; today a "
        "cheese maker rents six.",
        "The cellars were dug for wine in the Middle Ages. Today all of them are open to visitors throughout the year.",
    ),
    (
        "history-plum-bread",
        "The bakers wanted to disguise poor flour after the wet summer of 1816, so they mixed in plum paste, and people "
        "kept asking for it.",
        "Plum bread was invented in 1839 by a monk of Saint Wenna, who added sugar and eggs to the dough. It is usually toasted.",
    ),
    (
        "housing-tanners-row",
        "Each lift will be out of service for nine working days, starting at number 2 on 12 August. If you can't manage "
        "the stairs and live on the fourth floor or higher, you may use a guest flat for free.",
        "The lifts will be repaired over nine weeks. Rents go up by 4 crowns a month, and guest flats cost extra.",
    ),
    (
        "lab-marsh-lichen",
        "At 14 degrees the lichen grew best, 3.1 millimetres on average. Ines blames the browning on mould, Tobiah on drought.",
        "The lichen grew best at 22 degrees. Ines and Tobiah agree that mould caused the browning.",
    ),
    (
        "memo-brindlecote",
        "The night shift is dropped since the Castor looms must not run without anyone there and there is too little blue"
        " yarn. All 38 night workers keep their jobs.",
        "The night shift ends because orders have fallen, and seventeen workers will lose their jobs.",
    ),
    (
        "museum-bellfounders",
        "The foundry belonged to two sisters, Agathe and Minna Vole, who made 611 bells; 271 of them are lost.",
        "The museum was a church. The sisters cast 340 bells, and the largest hangs in the museum itself.",
    ),
    (
        "nature-hollow-lake",
        "A plug of clay closes the shaft under the north shore. When a lot of meltwater presses on it, it gives way and "
        "the lake runs dry in two days.",
        "The lake freezes in winter and drains slowly over eight months. It was last empty in 2019, and divers then "
        "closed the shaft.",
    ),
    (
        "nature-ribbon-vole",
        "They build nests of sedge above the ground, so that the young stay dry in floods. Since the meadows are mown "
        "later, there are more of them again.",
        "Ribbon voles dig deep burrows and eat insects. Their numbers have kept falling because of the late mowing in August.",
    ),
    (
        "notice-kestrel-ferry",
        "There is no 11:45 boat any more, apart from Thursdays. If you have a ticket for it, you can use it for another "
        "thirty days.",
        "All crossings are cancelled until spring. Tickets will be refunded by the harbour office within thirty days.",
    ),
    (
        "product-merle-bicycle",
        "It can carry 110 kilograms in all, 90 in the box and 20 on the rack. The testers criticise that the battery "
        "comes out without a key.",
        "The Merle 3 has three wheels at the back and carries 200 kilograms. The testers praise its cheap rain cover.",
    ),
    (
        "audit-pelham-library",
        "Of the books in the catalogue 553 are lost, mostly cookery books and travel guides. The only one that really "
        "hurts is the atlas of 1871.",
        "The library found that thieves had taken 905 volumes, most of them novels. It will buy a new atlas next year.",
    ),
    (
        "briefing-tarsk-airfield",
        "You fly the circuit on the south side so that the herons on the northern pond are not disturbed. In August "
        "visitors may pay with jam.",
        "The circuit is flown to the north because of the church. The landing fee is seven crowns for members and twenty "
        "for guests.",
    ),
    (
        "club-osprey-rowers",
        "Ludo Brandt, the coach, is leaving after 14 years; Senna Okoro follows him. Of 148 members 57 are younger than sixteen.",
        "Senna Okoro is leaving the club to grow pears. The women's eight was disqualified at Morden.",
    ),
    (
        "council-varrow-bridge",
        "Cars are banned from the Lantern Bridge as of 1 May because two arches have subsided by 11 mm. Walkers and "
        "bicycles can still use it.",
        "The council voted twelve to nine for a complete closure. Cars may use the bridge until winter if they drive slowly.",
    ),
    (
        "court-mill-stream",
        "Thole has to remove his plank and pay 2,900 marks for the dead trout. The farm had wanted 7,000.",
        "The court ruled for the miller. The Beck family has to pay him 7,000 marks and close the trout farm.",
    ),
    (
        "craft-wend-carpets",
        "Weavers put one wrong knot into the border on purpose, as a carpet without a mistake is thought to bring stolen luck.",
        "A perfect carpet is the most valuable. The patterns are drawn on paper by the men of the valley.",
    ),
    (
        "experiment-blue-yeast",
        "An apprentice called Jonna Vik found it. It needs nine days to ferment, four more than the brewery's usual yeast.",
        "Jonna Vik bred the yeast in a laboratory from house yeast. The food office has approved it, and more beer is "
        "being brewed.",
    ),
    (
        "game-seven-ferries",
        "If two players have equally many coins, the winner is whoever's harbour lies further away from the lighthouse.",
        "In case of a tie, the youngest player wins. Each player owns two boats and starts with seven cards.",
    ),
    (
        "harbour-dredge-minnow",
        "Because of mud the channel is 1.6 metres shallower than it was, so gravel boats can carry only half their load. "
        "In all, 1.7 million florins will be paid.",
        "The channel is dredged every six years. All of the mud is dumped on the beach at Fennick, which the oyster "
        "growers welcome.",
    ),
    (
        "history-glass-harbour",
        "For some sixty years a bottle factory threw its waste over the cliff, and the sea wore the shards smooth. "
        "Visitors can only take a matchbox full.",
        "The glass comes from a shipwreck in 1871. Collecting is forbidden altogether, and red pebbles are the most common.",
    ),
    (
        "history-kite-post",
        "A kite took the line over the strait in 1884, and afterwards letters went across in a leather bag. The bridge "
        "put an end to it in 1915.",
        "The kite post was invented by a fisherman after lightning had sunk the mail boat. It still runs on ninety days a year.",
    ),
    (
        "history-salt-clock",
        "When it is damp the clock stands still, which people read as a sign that it would rain. The tax office's salt "
        "weigher built it in 1733.",
        "The clock runs on sand and was built in 1740 by a prisoner. It has never stopped since.",
    ),
    (
        "incident-solvane-pump",
        "The staff did not trust the sensor, as it had raised two false alarms the month before, so the crew left only at 04:20.",
        "The crew was sent out at once, but the road was flooded. Three people were hurt, and the water was found to be "
        "polluted.",
    ),
    (
        "manual-puffin-kettle",
        "Don't fill it above the dimple, otherwise it spits hot water. To get rid of chalk, leave citric acid in it for "
        "an hour without boiling.",
        "Fill the kettle to the brim and boil it with vinegar to remove chalk. It works on induction hobs, too.",
    ),
    (
        "minutes-oxlade-allotments",
        "Bees are allowed now, though only on the northern row; seven were for it and three against. Keeping chickens was"
        " refused.",
        "The members voted unanimously to allow chickens. Mrs Quill chaired the meeting in spite of her cold.",
    ),
    (
        "nature-clock-fern",
        "In 1967 Amadea Roux showed that it depends on how humid the night before was: after a damp night the plant "
        "closes later.",
        "The fern closes when it gets dark, as Roux proved. Its spores are carried away by moths in the afternoon.",
    ),
    (
        "nature-lantern-moth",
        "It warms itself up by shivering, which lets it fly in the cold of November. The females cannot fly at all.",
        "The moth glows in the dark to attract females, who fly down from the hornbeams in spring.",
    ),
    (
        "nature-singing-dune",
        "Fewer than half of the dunes sing: 13 out of 40. Their grains are almost round and have a thin silica skin.",
        "All of the dunes sing, above all after rain. Scientists explained the sound by buried caves in 1988.",
    ),
    (
        "orchard-kestle-trial",
        "Soap worked best with 15 colonies a tree, but pots come close and take nine hours a row less work in a year.",
        "Earwig pots cut the number of aphids most, and they also raised the yield by a tenth.",
    ),
    (
        "policy-halyard-expenses",
        "You may go first class only if the trip lasts over four hours or if second class would be dearer. A taxi is paid"
        " at night or with heavy luggage.",
        "First class is paid for all managers. Receipts for meals must be handed in within sixty days.",
    ),
)
